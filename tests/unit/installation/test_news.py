"""What another version brings is read from its files, and none of its code is run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from localllm.installation.news import engine_changes, read_changes, state_changes
from localllm.installation.rehearsal import Change
from localllm.paths import bundled_profiles

PACKAGE = Path(__file__).parents[3] / "localllm"
CHANGES = """\
# Changelog

## 1.2.0 (2027-01-01)

Twice as fast.

## 1.1.0

Once.

## 1.0.0

First.
"""


@pytest.mark.parametrize(
    ("since", "until", "told"),
    [
        ("1.1.0", "1.2.0", ["Twice"]),
        ("1.0.0", "1.2.0", ["Twice", "Once"]),
        ("1.0.0", "1.1.0", ["Once"]),
        ("1.2.0", "1.2.0", []),
        ("1.2.0", "1.0.0", []),
    ],
)
def test_the_changelog_is_told_from_the_version_that_is_here(
    tmp_path: Path, since: str, until: str, told: list[str]
) -> None:
    (tmp_path / "_changelog.md").write_text(CHANGES)

    said = read_changes(tmp_path, since, until)

    assert [word for word in ("Twice", "Once", "First") if word in said] == told


def test_a_version_without_a_changelog_says_nothing(tmp_path: Path) -> None:
    assert read_changes(tmp_path, "1", "2") == ""


def test_state_files_that_move_forward_are_told_without_running_the_code(tmp_path: Path) -> None:
    source = (PACKAGE / "state_files.py").read_text()
    changed = source.replace('"serving.json", "what to serve again", 1', '"serving.json", "x", 2')
    assert changed != source
    (tmp_path / "state_files.py").write_text(changed + "\nraise SystemExit('it was run')\n")

    assert state_changes(PACKAGE, tmp_path) == (Change("serving.json", "1", "2"),)
    assert state_changes(PACKAGE, PACKAGE) == ()


@pytest.mark.parametrize("source", [None, "def (", "StateFile(1)\nStateFile()"])
def test_a_version_that_has_no_such_table_tells_nothing(tmp_path: Path, source: str | None) -> None:
    if source is not None:
        (tmp_path / "state_files.py").write_text(source)

    assert state_changes(PACKAGE, tmp_path) == ()


def test_engines_that_are_pinned_newer_are_told(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles"
    shutil.copytree(bundled_profiles() / "engines", profiles / "engines")
    pins = profiles / "engines" / "llama-cpp.toml"
    text = pins.read_text()
    now = next(line for line in text.splitlines() if line.startswith("version = "))
    pins.write_text(text.replace(now, 'version = "99999"'))

    changes = engine_changes(bundled_profiles(), profiles, tmp_path)

    assert [one.after for one in changes] == ["99999"]
    assert engine_changes(bundled_profiles(), bundled_profiles(), tmp_path) == ()


def test_pins_of_a_format_that_is_not_known_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "llama-cpp.toml").write_text("format = 99\n")

    assert engine_changes(bundled_profiles(), tmp_path, tmp_path) == ()
