"""localllm goes from a machine where it has served, and takes nothing with it that is not its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from localllm.odd_files import read_version
from localllm.state_files import STATE_FILES, Place, Says, kind_of
from tests.fakes.installation import Installation, wait_until

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("uninstalling")]
CODEX = 'model = "gpt-5"\n'


@pytest.fixture(scope="module")
def here() -> Iterator[Installation]:
    """One that has served, asked, connected an agent, and made a key; its daemon runs."""
    with tempfile.TemporaryDirectory(prefix="lll-") as home:
        user = Path(home) / "user"
        (user / ".codex").mkdir(parents=True)
        (user / ".codex" / "config.toml").write_text(CODEX)
        installation = Installation(
            Path(home) / "l",
            HOME=str(user),
            XDG_CONFIG_HOME=str(user / ".config"),
            XDG_DATA_HOME=str(user / ".local" / "share"),
            HF_HUB_CACHE=str(user / "hub"),
            SHELL="/bin/fish",
        )
        (user / "hub" / "models--me--Tiny" / "blobs").mkdir(parents=True)
        (user / "hub" / "models--me--Tiny" / "blobs" / "aa").write_bytes(bytes(2 << 20))
        installation.configure("")
        installation.ok("up", "--context", "512")
        installation.ok("run", "smollm2-135m-instruct", "Say hello.")
        installation.ok("connect", "codex", "--write")
        installation.ok("key", "create", "laptop")
        installation.ok("completion", "--install")
        wait_until((installation.state / "requests.sqlite3").exists, "requests are counted")
        yield installation
        installation.close()


def files(here: Installation) -> dict[str, Path]:
    """All files below its home, by place and name."""
    return {
        str(p.relative_to(here.home)): p
        for p in here.home.rglob("*")
        if p.is_symlink() or not p.is_dir()
    }


def test_each_file_that_a_daemon_leaves_is_in_the_table_and_says_its_version(
    here: Installation,
) -> None:
    for name, file in files(here).items():
        place, _, below = name.partition("/")
        kind = kind_of(Place(place), below)
        assert kind is not None, f"{name} is not in STATE_FILES"
        if kind.version is not None and kind.says is not Says.STAMP and file.name == kind.pattern:
            assert read_version(file, kind.says) == kind.version, name
    written = {kind.pattern for kind in STATE_FILES if (here.state / kind.pattern).exists()}
    assert written >= {"serving.json", "ledger.json", "keys.json", "prefix.key", "daemon.json"}


def test_a_newer_files_state_is_refused_politely_and_the_daemon_starts_all_the_same(
    here: Installation,
) -> None:
    names = ("serving.json", "pulls.json", "ledger.json", "tokenizers.json", "prefix.key")
    here.ok("down")
    newer = {
        here.state / name: (
            b"localllm prefix key 99\n" + bytes(32)
            if name == "prefix.key"
            else b'{"format": 99, "version": 99, "new": [1]}'
        )
        for name in names
    }
    before = {file: file.read_bytes() for file in newer if file.exists()}
    for file, content in newer.items():
        file.write_bytes(content)

    up = here.run("up", "--context", "512")

    assert up.code == 0, up
    here.ok("down")
    assert {file: file.read_bytes() for file in newer} == newer, "nothing is lost"
    log = (here.state / "logs" / "daemon.log").read_text()
    for file in newer:
        assert f"{file} was written by a newer localllm" in log
    for file in newer:
        file.unlink()
    for file, content in before.items():
        file.write_bytes(content)
    here.ok("up", "--context", "512")


def test_what_is_localllms_goes_and_nothing_else(here: Installation) -> None:
    user = Path(here.environment["HOME"])
    outside = user / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    (here.state / "thesis.txt").write_text("mine")
    (here.state / "logs" / "mine.txt").write_text("mine")
    (here.state / "logs" / "old.log").symlink_to(outside / "precious")
    (here.home / "data").mkdir(exist_ok=True)
    (here.home / "data" / "engines").symlink_to(outside)
    fish = user / ".config" / "fish" / "completions" / "localllm.fish"
    assert fish.exists()
    before = files(here)

    told = here.ok("uninstall", "--dry-run")
    assert files(here) == before
    assert here.model()["state"] == "ready"
    ran = here.run("uninstall", "--yes")

    assert ran.code == 0, ran
    assert here.processes() == []
    assert sorted(files(here)) == ["data/engines", "state/logs/mine.txt", "state/thesis.txt"]
    assert (outside / "precious").read_text() == "precious"
    assert (user / ".codex" / "config.toml").read_text() == CODEX
    assert not fish.exists()
    assert (user / "hub" / "models--me--Tiny" / "blobs" / "aa").exists()
    for said in (
        "thesis.txt",
        f"1 model in {user / 'hub'}, 2 MiB, shared",
        "written into the files of codex",
        "the program itself, which is removed by:",
    ):
        assert said in told
