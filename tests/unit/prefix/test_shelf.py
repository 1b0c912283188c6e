"""The shelf on a real disk: what it takes in, finds, and lets go."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from localllm.prefix.budget import decide_budget_bytes, read_budget_bytes
from localllm.prefix.shelf import Made, Shelf
from localllm.units import GIB
from tests.unit.prefix.a_prompt import blocks
from tests.unit.prefix.a_shelf import LONG, World, mode


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_asking_makes_no_folder(world: World) -> None:
    assert world.shelf.entries() == []
    assert world.shelf.best("model", blocks(LONG)) is None
    world.shelf.tidy()
    world.shelf.remove_all()

    assert not world.folder.exists()


def test_what_is_taken_in_is_found_by_another_process(world: World) -> None:
    entry = world.saved()

    assert world.another().entries() == [entry]
    assert world.another().best("model", blocks(LONG + "yz")) == entry
    assert world.shelf.best("other", blocks(LONG)) is None
    assert (entry.size_bytes, entry.saved_at, entry.used_at, entry.uses) == (100, 1000, 1000, 0)
    assert world.names() == {entry.file, f"{entry.id}.json"}


def test_only_their_user_can_read_any_of_it(world: World) -> None:
    before = os.umask(0)
    try:
        entry = world.saved()
    finally:
        os.umask(before)

    assert mode(world.folder) == 0o700
    assert {mode(file) for file in world.folder.iterdir()} == {0o600}
    assert b"aaaa" not in world.record(entry).read_bytes()


def test_a_folder_that_others_could_enter_is_closed(world: World) -> None:
    world.folder.mkdir(mode=0o755)

    world.shelf.new_file()

    assert mode(world.folder) == 0o700


def test_no_two_files_are_named_alike(world: World) -> None:
    assert len({world.shelf.new_file() for _ in range(20)}) == 20


def test_what_was_changed_elsewhere_is_seen_at_once(world: World) -> None:
    first, second = world.saved("a" + LONG), world.saved("b" + LONG)
    assert world.ids() == {first.id, second.id}

    world.another().remove(first.id)
    assert world.ids() == {second.id}

    world.another().touch(second)
    assert [entry.uses for entry in world.shelf.entries()] == [1]


@pytest.mark.parametrize("written", [None, 99, 101, 0])
def test_what_the_engine_did_not_write_as_a_whole_is_removed(
    world: World, written: int | None
) -> None:
    assert world.save(written_bytes=written) is None

    assert world.names() == set()


def test_an_empty_file_is_not_kept(world: World) -> None:
    assert world.save(data=b"") is None
    assert world.names() == set()


def test_what_has_no_tokens_is_not_kept(world: World) -> None:
    assert world.save(tokens=0) is None
    assert world.names() == set()


def test_a_file_that_is_not_there_is_not_kept(world: World) -> None:
    name = world.shelf.new_file()

    taken = world.shelf.take_in(name, Made("model", "m", blocks(LONG), 800), written_bytes=100)

    assert taken is None
    assert world.names() == set()


@pytest.mark.parametrize("name", ["../stranger.kv", "notes.txt", "", ".", "0000000g.kv"])
def test_a_file_that_we_did_not_name_is_neither_taken_in_nor_removed(
    world: World, name: str
) -> None:
    world.shelf.new_file()
    strangers = [
        world.folder.parent / "stranger.kv",
        world.folder / "notes.txt",
        world.folder / "0000000g.kv",
    ]
    for file in strangers:
        file.write_bytes(b"mine")

    taken = world.shelf.take_in(name, Made("model", "m", blocks(LONG), 800), written_bytes=4)
    world.shelf.give_up(name)

    assert taken is None
    assert all(file.read_bytes() == b"mine" for file in strangers)


def test_a_link_to_a_file_elsewhere_is_not_taken_in(world: World) -> None:
    name, elsewhere = world.shelf.new_file(), world.folder.parent / "elsewhere"
    elsewhere.write_bytes(b"mine")
    (world.folder / name).symlink_to(elsewhere)

    taken = world.shelf.take_in(name, Made("model", "m", blocks(LONG), 800), written_bytes=4)

    assert taken is None
    assert elsewhere.read_bytes() == b"mine"


def test_what_is_larger_than_the_budget_is_not_kept_and_nothing_goes_for_it(world: World) -> None:
    kept = world.saved("b")

    assert not world.shelf.has_room(1001)
    assert world.save(data=bytes(1001)) is None

    assert world.ids() == {kept.id}
    assert world.names() == {kept.file, f"{kept.id}.json"}


def test_the_least_valuable_makes_room_and_never_what_has_just_come(world: World) -> None:
    first, second = world.saved("a"), world.saved("b")
    world.shelf.touch(second)
    world.budget = 250

    third = world.saved("c")

    assert world.ids() == {second.id, third.id}
    assert not (world.folder / first.file).exists()


def test_a_longer_one_takes_the_place_of_its_beginning_and_counts_as_often_used(
    world: World,
) -> None:
    short, other = world.saved(LONG[:20]), world.saved("z")
    world.shelf.touch(short)

    longer = world.saved(LONG)

    assert world.ids() == {longer.id, other.id}
    assert next(e for e in world.shelf.entries() if e.id == longer.id).uses == 1


def test_what_was_of_use_is_noted(world: World) -> None:
    entry = world.saved()
    world.now_s = 2000.0

    world.shelf.touch(entry)
    world.shelf.touch(entry)

    [known] = world.shelf.entries()
    assert (known.uses, known.used_at, known.saved_at) == (2, 2000.0, 1000.0)


def test_what_was_removed_meanwhile_does_not_come_back_when_it_was_of_use(world: World) -> None:
    entry = world.saved()
    world.another().remove(entry.id)

    world.shelf.touch(entry)

    assert world.names() == set()


def test_a_full_disk_leaves_nothing_half_and_takes_nothing_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = world.saved(LONG[:20])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("localllm.versioned.os.replace", full)
        assert world.save(LONG) is None
        world.shelf.touch(kept)

    assert world.shelf.entries() == [kept]
    assert world.names() == {kept.file, f"{kept.id}.json"}


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "prefixes").write_bytes(b"a file is in the way")
    shelf = Shelf(tmp_path / "prefixes", lambda: 1000, lambda: 0.0)

    name = shelf.new_file()
    taken = shelf.take_in(name, Made("model", "m", blocks(LONG), 800), written_bytes=100)
    shelf.tidy()
    shelf.remove_all()

    assert (taken, shelf.entries()) == (None, [])


@pytest.mark.parametrize(
    ("max_gib", "free", "held", "budget"),
    [
        (None, 100 * GIB, 0, 10 * GIB),
        (None, 90 * GIB, 10 * GIB, 10 * GIB),
        (None, 900 * GIB, 0, 20 * GIB),
        (None, 0, 0, 0),
        (0.5, GIB, 0, GIB // 2),
        (0.5, 0, 0, 0),
        (50.0, 8 * GIB, 2 * GIB, 9 * GIB),
        (100.0, 900 * GIB, 0, 100 * GIB),
        (0.0, 900 * GIB, 0, 0),
    ],
)
def test_a_tenth_of_the_free_disk_is_taken_unless_the_user_says_otherwise(
    max_gib: float | None, free: int, held: int, budget: int
) -> None:
    assert decide_budget_bytes(max_gib, free_bytes=free, held_bytes=held) == budget


def test_the_disk_is_asked_also_where_the_folder_is_not_there_yet(tmp_path: Path) -> None:
    assert 0 < read_budget_bytes(tmp_path / "a" / "b", None) <= 20 * GIB


def test_what_was_abandoned_goes_once_it_is_there(world: World) -> None:
    early, late = world.shelf.new_file(), world.shelf.new_file()
    for name in (early, late, "../stranger.kv"):
        world.shelf.abandon(name)
    (world.folder.parent / "stranger.kv").write_bytes(b"mine")
    (world.folder / early).write_bytes(b"half")

    first = world.saved("a")
    assert world.names() == {first.file, f"{first.id}.json"}

    (world.folder / late).write_bytes(b"half")
    second = world.saved("b")
    assert world.ids() == {first.id, second.id}
    assert len(world.names()) == 4
    assert (world.folder.parent / "stranger.kv").exists()
