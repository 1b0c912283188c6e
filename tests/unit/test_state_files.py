"""The table of state files: it knows what each is, and sees what is odd. What was written once is read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from localllm.agents import record as agents_record
from localllm.agents.undoing import connected_model
from localllm.api import bench_views, daemon_file, key_file, replay_views, traffic_file
from localllm.api.views import ServeRequest
from localllm.engines import bench_file
from localllm.engines.builds import shelf
from localllm.metrics import capture, ledger_schema
from localllm.odd_files import Oddity, look_over, read_version
from localllm.paths import Paths
from localllm.planning import ledger
from localllm.prefix import key as prefix_key
from localllm.prefix import record as prefix_record
from localllm.quality import kept
from localllm.state_files import (
    STATE_FILES,
    Place,
    Says,
    kind_of,
    place_of,
)
from localllm.store import header_cache
from localllm.supervisor import pulls_file, remembered, tokenizers

ROOT = Path(__file__).parents[2]
WRITTEN = ROOT / "tests" / "data" / "state"
WRITERS = {
    "serving.json": remembered.FORMAT,
    "pulls.json": pulls_file.FORMAT,
    "ledger.json": ledger.FORMAT,
    "tokenizers.json": tokenizers.FORMAT,
    "engine-bench.json": bench_file.FORMAT,
    "benches/*.json": bench_views.FORMAT,
    "keys.json": key_file.FORMAT,
    "requests.sqlite3": len(ledger_schema.MIGRATIONS),
    "prefix.key": prefix_key.FORMAT,
    "prefixes/*.json": prefix_record.FORMAT,
    "agents/*.json": agents_record.FORMAT,
    "captures/*/*.json": capture.FORMAT,
    "traffic/*.jsonl": traffic_file.FORMAT,
    "benches/replays/*.json": replay_views.FORMAT,
    "checks/*.json": kept.FORMAT,
    "daemon.json": daemon_file.FORMAT,
    "engines/in-use.json": shelf.FORMAT,
    "engines/*/localllm.json": shelf.FORMAT,
    "headers/*": header_cache.FORMAT,
}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """An installation as the first version has left it."""
    paths = Paths(*(tmp_path / each for each in ("config", "data", "state", "cache")))
    shutil.copytree(WRITTEN / "v1", paths.state)
    (paths.state / "engines").rename(make(paths.data) / "engines")
    return paths


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_each_kind_that_has_a_version_is_in_the_table_as_its_writer_has_it() -> None:
    assert {kind.pattern: kind.version for kind in STATE_FILES if kind.version} == WRITERS


def test_the_docs_have_the_table() -> None:
    page = (ROOT / "docs" / "upgrading.md").read_text()

    for kind in STATE_FILES:
        version = kind.version or "-"
        line = f"| `{kind.place}/{kind.pattern}` | {kind.what} | {version}, {kind.says} |"
        assert line.replace("-, ", "") in page, kind
        assert f"| {kind.newer} | {kind.damaged} |" in page, kind


@pytest.mark.parametrize(
    ("place", "name", "pattern"),
    [
        (Place.STATE, "serving.json", "serving.json"),
        (Place.STATE, "serving.json.v1", "serving.json"),
        (Place.STATE, "serving.json.broken", "serving.json"),
        (Place.STATE, "serving.json.0a1b2c3d.draft", "serving.json"),
        (Place.STATE, "requests.sqlite3-wal", "requests.sqlite3"),
        (Place.STATE, "requests.sqlite3.broken-shm", "requests.sqlite3"),
        (Place.STATE, "requests.sqlite3.v2", "requests.sqlite3"),
        (Place.STATE, "agents/codex.json", "agents/*.json"),
        (Place.STATE, "logs/daemon.log.1", "logs/*.log.1"),
        (Place.STATE, "captures/20261130T000000Z-0a0b/0001-chat.json", "captures/*/*.json"),
        (Place.STATE, "launched/claude-code/a/b", "launched/**"),
        (Place.DATA, "engines/b1/lib/libggml.so", "engines/*/**"),
        (Place.CACHE, "headers/0a.parsed", "headers/*"),
        (Place.DATA, "engines/.new-b1/lib/a", "engines/.*/**"),
        (Place.STATE, "requests.sqlite3.v2.draft", "requests.sqlite3"),
        (Place.CONFIG, "models/mine.toml", "models/*.toml"),
        (Place.CONFIG, "config.schema.json", "config.schema.json"),
        (Place.CONFIG, "nvim/plugins.toml", None),
        (Place.STATE, "thesis.draft", None),
        (Place.STATE, "logs/thesis.txt", None),
        (Place.STATE, "other.lock", None),
        (Place.DATA, "previous/photos.zip", None),
        (Place.CACHE, "upgrade-notes/all.md", None),
        (Place.STATE, "thesis.txt", None),
        (Place.STATE, "agents/deep/notes.json", None),
        (Place.STATE, "serving.json.bak", None),
        (Place.DATA, "serving.json", None),
    ],
)
def test_a_file_is_known_by_its_name(place: Place, name: str, pattern: str | None) -> None:
    kind = kind_of(place, name)

    assert (kind and kind.pattern) == pattern


def test_what_this_version_wrote_is_in_order(paths: Paths) -> None:
    assert look_over(paths) == []


def _the_first_asks(paths: Paths) -> object:
    read = remembered.read_remembered(paths.serving)
    return read.serving, read.pinned


READERS: dict[str, tuple[Callable[[Paths], object], object]] = {
    "what to serve": (
        _the_first_asks,
        ((ServeRequest(context=512),), ("smollm2-135m-instruct",)),
    ),
    "pulls": (lambda p: [pull.id for pull in pulls_file.read_pulls(p.pulls).pulls], ["p3"]),
    "plans": (lambda p: [e.decode_tps for e in ledger.read_ledger(p.ledger)], [134.77088948787062]),
    "tokenizers": (
        lambda p: (
            tokenizers.recall(p.tokenizers, "llama smollm2135m8klc100kmix1ep2 576 49152").tokens
        ),  # type: ignore[union-attr]
        181,
    ),
    "engines' speeds": (
        lambda p: [*bench_file.read_speeds(p.bench)],
        ["xllamacpp", "llama-cpp-python"],
    ),
    "keys": (lambda p: [key.name for key in key_file.read_keys(p.keys_file)], ["laptop"]),
    "the key of prompts": (
        lambda p: prefix_key.read_or_make_key(p.prefix_key),
        (WRITTEN / "v1" / "prefix.key").read_bytes(),
    ),
    "a prompt": (
        lambda p: prefix_record.read_record(p.prefixes / "01234567.json").model,  # type: ignore[union-attr]
        "smollm2-135m-instruct",
    ),
    "what was written for an agent": (
        lambda p: len(agents_record.read_record(p.agents, "codex").files),  # type: ignore[union-attr]
        1,
    ),
    "engines": (
        lambda p: [(s.build.id, s.in_use) for s in shelf.Shelf(p.engines).builds()],
        [("one", True)],
    ),
    "requests": (
        lambda p: (
            ledger_schema.open_ledger(p.requests_db)
            .execute("SELECT count(*), sum(requests) FROM requests, daily")
            .fetchone()
        ),
        (1, 1),
    ),
}


@pytest.mark.parametrize("what", READERS)
def test_what_the_first_version_wrote_is_read_for_ever(paths: Paths, what: str) -> None:
    for file in paths.state.glob("*.json"):
        file.chmod(0o600)
    read, expected = READERS[what]

    assert read(paths) == expected


def test_a_ledger_of_an_older_version_is_moved_forward_and_kept(paths: Paths) -> None:
    ledger_schema.open_ledger(paths.requests_db).close()

    newest = len(ledger_schema.MIGRATIONS)
    assert read_version(paths.requests_db, Says.SQLITE) == newest
    if newest > 2:
        assert read_version(paths.state / "requests.sqlite3.v2", Says.SQLITE) == 2


def test_what_a_newer_version_wrote_is_told_and_what_is_damaged_and_what_was(paths: Paths) -> None:
    newer = paths.serving.read_text().replace('"format":1', '"format":7')
    paths.serving.write_text(newer)
    paths.pulls.write_bytes(b"{")
    (paths.state / "ledger.json.broken").write_bytes(b"{")
    (paths.state / "prefix.key").write_bytes(b"localllm prefix key 2\n" + bytes(32))

    odd = {one.file.name: (one.oddity, one.version) for one in look_over(paths)}

    assert odd == {
        "serving.json": (Oddity.NEWER, 7),
        "pulls.json": (Oddity.DAMAGED, None),
        "ledger.json.broken": (Oddity.SET_ASIDE, None),
        "prefix.key": (Oddity.NEWER, 2),
    }


def test_looking_changes_nothing(paths: Paths) -> None:
    def contents() -> dict[Path, bytes]:
        roots = [place_of(paths, place) for place in Place]
        return {f: f.read_bytes() for root in roots for f in root.rglob("*") if f.is_file()}

    before = contents()

    look_over(paths)
    connected_model("codex", paths.agents)

    assert contents() == before
