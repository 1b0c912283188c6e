"""Builds side by side on one disk: what is there, what is in use, what a crash leaves."""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from localllm.catalog.builds import Build
from localllm.engines.builds import shelf as module
from localllm.engines.builds.shelf import Manifest, Shelf, Shelved
from localllm.errors import EngineUnusable
from tests.unit.engines.a_build import a_build


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "engines")


def a_manifest(build: Build, at: float = 1.0, **more: Any) -> Manifest:
    return Manifest(build=build, fetched_from="github.com", at=at, proved_on="a card", **more)


def shelved(shelf: Shelf, *ids: str, at: float = 1.0, **more: Any) -> Shelved:
    """Take in a build of each id, each put in use; return the last."""
    for id_ in ids:
        build = a_build(id_, **more)
        with shelf.locked(), shelf.staging(build) as staging:
            (staging / "llama-server").write_text(f"{id_} of {at}")
            last = shelf.shelve(staging, a_manifest(build, at))
            shelf.use(last)
    return last


def ids(shelf: Shelf) -> list[tuple[str, bool]]:
    return [(s.build.id, s.in_use) for s in shelf.builds()]


def current(shelf: Shelf) -> str | None:
    found = shelf.current("llama-server")
    return None if found is None else found.build.id


def before(shelf: Shelf) -> str | None:
    found = shelf.before("llama-server")
    return None if found is None else found.build.id


def test_where_nothing_was_fetched_there_is_nothing(shelf: Shelf) -> None:
    assert ids(shelf) == []
    assert (current(shelf), before(shelf)) == (None, None)
    assert not shelf.folder.exists(), "looking makes no folder"


def test_what_was_taken_in_is_read_back_as_it_was(shelf: Shelf) -> None:
    build = a_build("one")
    shelved(shelf, "one")

    (found,) = shelf.builds()

    assert found == Shelved(shelf.folder / "one", a_manifest(build), in_use=True)
    assert shelf.find("one") == found
    assert (found.folder / "llama-server").read_text() == "one of 1.0"


def test_builds_are_side_by_side_and_the_last_of_each_engine_is_in_use(shelf: Shelf) -> None:
    shelved(shelf, "two", "one")
    shelved(shelf, "wheel", engine="xllamacpp", program=None)

    assert ids(shelf) == [("one", True), ("two", False), ("wheel", True)]
    assert before(shelf) == "two"
    assert shelf.before("xllamacpp") is None


def test_rolling_back_twice_is_where_it_began(shelf: Shelf) -> None:
    shelved(shelf, "one", "two")

    assert shelf.roll_back("llama-server").build.id == "one"
    assert (current(shelf), before(shelf)) == ("one", "two")
    assert shelf.roll_back("llama-server").build.id == "two"
    assert (current(shelf), before(shelf)) == ("two", "one")


def test_using_what_is_in_use_forgets_nothing(shelf: Shelf) -> None:
    shelved(shelf, "one", "two", "two")

    assert (current(shelf), before(shelf)) == ("two", "one")


@pytest.mark.parametrize("removed", [None, "one"])
def test_without_an_earlier_build_there_is_no_rolling_back(
    shelf: Shelf, removed: str | None
) -> None:
    shelved(shelf, *([] if removed is None else [removed]), "two")
    if removed is not None:
        shelf.remove(shelf.find(removed))

    with pytest.raises(EngineUnusable, match="no earlier build of llama-server"):
        shelf.roll_back("llama-server")

    assert current(shelf) == "two"


def test_once_the_one_in_use_is_removed_the_one_before_can_be_had_once(shelf: Shelf) -> None:
    shelf.remove(shelved(shelf, "one", "two"))
    assert (current(shelf), ids(shelf)) == (None, [("one", False)])

    assert shelf.roll_back("llama-server").build.id == "one"

    assert (current(shelf), before(shelf)) == ("one", None)


def test_what_is_removed_is_gone_from_the_disk(shelf: Shelf) -> None:
    one = shelved(shelf, "one")

    shelf.remove(one)

    assert not one.folder.exists()
    with pytest.raises(EngineUnusable) as caught:
        shelf.find("one")
    assert "'one' is not installed" in caught.value.what
    assert caught.value.why == "installed are: none"


def test_one_of_the_same_id_is_replaced_while_its_old_files_stay_open(shelf: Shelf) -> None:
    with (shelved(shelf, "one").folder / "llama-server").open() as running:
        new = shelved(shelf, "one", at=2.0)

        assert running.read() == "one of 1.0"
    assert shelf.find("one").manifest == new.manifest
    assert (new.folder / "llama-server").read_text() == "one of 2.0"
    assert left(shelf) == ["one"]


def left(shelf: Shelf) -> list[str]:
    return sorted(p.name for p in shelf.folder.iterdir() if p.is_dir())


def test_what_fails_half_way_leaves_nothing_and_changes_nothing(shelf: Shelf) -> None:
    shelved(shelf, "one")

    with pytest.raises(RuntimeError), shelf.locked(), shelf.staging(a_build("two")) as staging:
        (staging / "half").write_text("of it")
        raise RuntimeError

    assert left(shelf) == ["one"]
    assert ids(shelf) == [("one", True)]


class Killed(BaseException):
    """The process ends here: no `finally` of ours may count on being run."""


def killed_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """End the process at the n-th renaming of a folder; what it has on disk stays."""
    really, seen = Path.rename, 0

    def rename(path: Path, target: Path) -> Path:
        nonlocal seen
        seen += 1
        if seen == number:
            raise Killed
        return really(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(module.shutil, "rmtree", lambda *_, **__: None)


@pytest.mark.parametrize(
    ("renamings", "files_of"),
    [(1, 1.0), (2, 1.0), (3, 2.0)],
)
def test_a_process_killed_while_it_replaces_a_build_leaves_one_of_the_two(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, renamings: int, files_of: float
) -> None:
    shelved(shelf, "one")
    with monkeypatch.context() as patched:
        killed_at(patched, renamings)
        with suppress(Killed):
            shelved(shelf, "one", at=2.0)

    with shelf.locked():
        pass

    assert ids(shelf) == [("one", True)]
    assert (shelf.folder / "one" / "llama-server").read_text() == f"one of {files_of}"
    assert shelf.find("one").manifest.at == files_of
    shelved(shelf, "one", at=3.0)
    assert left(shelf) == ["one"]


@pytest.mark.parametrize("name", [".new-one", ".old-one"])
def test_what_a_killed_process_left_is_never_seen(shelf: Shelf, name: str) -> None:
    whole = shelved(shelf, "one")
    whole.folder.rename(shelf.folder / name)

    assert ids(shelf) == []


def test_removing_that_is_interrupted_leaves_nothing_that_counts(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shelved(shelf, "one")

    def fail(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(module.shutil, "rmtree", fail)
    with pytest.raises(Killed):
        shelf.remove(one)

    assert ids(shelf) == []
    assert current(shelf) is None


@pytest.mark.parametrize("name", ["localllm.json", "../in-use.json"])
@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 2}', b"\xff", b'{"format": "x"}'])
def test_files_that_cannot_be_read_count_as_none(shelf: Shelf, name: str, content: bytes) -> None:
    one = shelved(shelf, "one")
    (one.folder / name).write_bytes(content)

    assert current(shelf) is None


def test_files_of_a_newer_version_are_not_taken_for_ours(shelf: Shelf) -> None:
    shelved(shelf, "one")
    state = shelf.folder / "in-use.json"
    state.write_text(state.read_text().replace('"format":1', '"format":2'))

    assert current(shelf) is None


def hold(folder: Path, held: Any, go_on: Any) -> None:
    with Shelf(folder).locked():
        held.set()
        go_on.wait(10)


def test_only_one_process_changes_it_at_a_time(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_WITHIN_S", 0.05)
    context = multiprocessing.get_context("spawn")
    held, go_on = context.Event(), context.Event()
    other = context.Process(target=hold, args=(shelf.folder, held, go_on))
    other.start()
    assert held.wait(10)

    with pytest.raises(EngineUnusable, match="another"), shelf.locked():
        pass

    go_on.set()
    other.join(10)
    with shelf.locked():
        pass
