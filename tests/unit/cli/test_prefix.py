"""`localllm prefix`: what it shows and removes, without a daemon."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from localllm.cli.main import cli
from localllm.errors import LocalLLMError, ModelNotFound
from localllm.prefix.entries import Entry
from localllm.prefix.shelf import Made, Shelf
from localllm.units import GIB, MIB
from tests.unit.prefix.a_prompt import blocks
from tests.unit.prefix.a_shelf import take_in_text

HOUR_S = 3600


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    return tmp_path


def a_saved(home: Path, letters: str, *, ago_s: float = 0, model: str = "qwen3-8b") -> Entry:
    folder = home / "state" / "prefixes"
    shelf = Shelf(folder, lambda: GIB, lambda: time.time() - ago_s)
    name = shelf.new_file()
    (folder / name).write_bytes(bytes(3 * MIB))
    entry = shelf.take_in(name, Made("k", model, blocks(letters), 5073), written_bytes=3 * MIB)
    assert entry is not None
    return entry


def names(home: Path) -> set[str]:
    return {file.name for file in (home / "state" / "prefixes").iterdir()}


def prefix(*words: str) -> Result:
    return CliRunner().invoke(cli, ["prefix", *words])


def document(*words: str) -> dict[str, object]:
    ran = prefix(*words, "--json")
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)  # type: ignore[no-any-return]


def test_the_list_shows_what_is_kept_the_one_used_last_first(home: Path) -> None:
    old, new = a_saved(home, "a", ago_s=3 * HOUR_S), a_saved(home, "b", model="evil\x1b[2J")

    lines = prefix("ls").stdout.splitlines()

    assert lines[0].split()[:5] == ["id", "model", "kept", "as", "tokens"]
    assert lines[0].split()[5:] == ["size", "saved", "last", "used", "uses"]
    assert lines[1].split()[:6] == [new.id, "evil?[2J", "slot", "5073", "3", "MiB"]
    assert lines[2].startswith(f"{old.id}  qwen3-8b")
    assert "3 h ago" in lines[2]
    assert lines[-1].startswith("2 prompts, 6 MiB of ")


def test_the_document_says_the_same(home: Path) -> None:
    entry = a_saved(home, "a")

    said = document("ls")

    assert said["prefixes"] == [
        {
            "id": entry.id,
            "model": "qwen3-8b",
            "tokens": 5073,
            "size": 3 * MIB,
            "saved": entry.saved_at,
            "last_used": entry.used_at,
            "uses": 0,
            "kind": "slot",
        }
    ]
    assert (said["enabled"], said["size"]) == (True, 3 * MIB)
    assert said["folder"] == str(home / "state" / "prefixes")


def test_a_request_that_is_kept_as_text_says_so_and_is_small(home: Path) -> None:
    shelf = Shelf(home / "state" / "prefixes", lambda: GIB, time.time)
    made = Made("k", "qwen3-8b", blocks("a"), 5073, "/v1/chat/completions")
    assert take_in_text(shelf, b"x" * 20_000, made) is not None

    assert prefix("ls").stdout.splitlines()[1].split()[2:6] == ["text", "5073", "20", "KiB"]
    assert document("ls")["prefixes"][0]["kind"] == "text"


def test_where_they_may_take_no_room_it_says_so(home: Path) -> None:
    (home / "config").mkdir()
    (home / "config" / "config.toml").write_text("[prefix]\nmax_gib = 0\n")

    assert "max_gib = 0" in prefix("ls").stdout.splitlines()[-1]


def test_without_any_it_says_so_and_makes_nothing(home: Path) -> None:
    assert prefix("ls").stdout == "no prompt is kept on this disk yet\n"
    assert document("ls")["prefixes"] == []
    assert list(home.iterdir()) == []


def test_what_the_settings_say_is_shown(home: Path) -> None:
    (home / "config").mkdir()
    (home / "config" / "config.toml").write_text("[prefix]\nenabled = false\nmax_gib = 1.5\n")

    said = document("ls")

    assert (said["enabled"], said["budget"]) == (False, 3 * GIB // 2)
    assert "enabled = false" in prefix("ls").stdout


def test_those_that_are_named_are_removed(home: Path) -> None:
    first, second, third = (a_saved(home, letter) for letter in "abc")

    said = document("rm", first.id, second.id, first.id, "--yes")

    assert said == {"removed": [first.id, second.id], "freed": 6 * MIB}
    assert names(home) == {third.file, f"{third.id}.json"}


def test_all_are_removed_and_what_is_half_written_with_them(home: Path) -> None:
    a_saved(home, "a")
    (home / "state" / "prefixes" / "00000000.kv").write_bytes(bytes(MIB))

    said = prefix("rm", "--all", "--yes").stdout

    assert said == "removed 1 prompt, freed 4 MiB\n"
    assert names(home) == set()


def test_where_there_is_nothing_nobody_is_asked(home: Path) -> None:
    ran = prefix("rm", "--all")

    assert (ran.exit_code, ran.stdout) == (0, "there is none to remove\n")


def test_one_that_is_not_here_is_refused_and_none_is_removed(home: Path) -> None:
    entry = a_saved(home, "a")

    ran = prefix("rm", entry.id, "ffff\x1b", "--yes")

    assert isinstance(ran.exception, ModelNotFound)
    assert "ffff?" in str(ran.exception)
    assert entry.file in names(home)


def test_nothing_is_removed_where_nobody_can_be_asked(home: Path) -> None:
    entry = a_saved(home, "a")

    ran = prefix("rm", entry.id)

    assert isinstance(ran.exception, LocalLLMError)
    assert f"localllm prefix rm {entry.id} --yes" in str(ran.exception)
    assert entry.file in names(home)


@pytest.mark.parametrize("words", [["rm"], ["rm", "--all", "0123abcd"]])
def test_either_some_are_named_or_all(home: Path, words: list[str]) -> None:
    ran = prefix(*words, "--yes")

    assert ran.exit_code == 2
    assert "--all" in ran.stderr


def test_nothing_heavy_is_loaded_for_it() -> None:
    heavy = {"huggingface_hub", "aiohttp", "anyio", "asyncio", "localllm.planning.desk"}
    code = "import sys, localllm.cli.prefix; print(*sys.modules)"

    said = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert not heavy & set(said.split())
