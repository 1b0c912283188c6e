"""What the shelf does with files that are wrong, half, foreign, or of another version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from localllm.engines.workers.slot_requests import draft_of
from localllm.prefix.shelf import Made
from tests.unit.prefix.a_prompt import blocks
from tests.unit.prefix.a_shelf import LONG, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_is_whole_passes(world: World) -> None:
    entry = world.saved()

    assert world.shelf.check(entry)
    assert world.ids() == {entry.id}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:50])


def turn_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[60] ^= 1
    file.write_bytes(data)


def lengthen(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"more")


@pytest.mark.parametrize("damage", [cut, turn_a_bit, lengthen, Path.unlink])
def test_what_is_damaged_does_not_pass_and_is_removed(
    world: World, damage: Callable[[Path], None]
) -> None:
    entry = world.saved()
    damage(world.folder / entry.file)

    assert not world.shelf.check(entry)
    assert world.names() == set()


@pytest.mark.parametrize("damage", [cut, lengthen, Path.unlink])
def test_what_can_be_seen_to_be_damaged_is_not_even_found(
    world: World, damage: Callable[[Path], None]
) -> None:
    entry = world.saved()
    damage(world.folder / entry.file)

    assert world.shelf.best("model", blocks(LONG)) is None
    world.shelf.tidy()
    assert world.names() == set()


@pytest.mark.parametrize(
    "said",
    [
        {"format": 2},
        {"id": "11111111"},
        {"size_bytes": -1},
        {"sha256": "../../etc/passwd"},
        {"tokens": "many"},
        {"marks": "%"},
        {"more": 1},
    ],
)
def test_a_record_that_is_none_of_ours_is_not_used_and_goes(
    world: World, said: dict[str, object]
) -> None:
    world.change(world.saved(), **said)

    assert world.shelf.entries() == []
    world.shelf.tidy()
    assert world.names() == set()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_record_that_a_power_cut_has_left_is_not_used_and_goes(
    world: World, content: bytes
) -> None:
    world.record(world.saved()).write_bytes(content)

    assert world.shelf.entries() == []
    world.shelf.tidy()
    assert world.names() == set()


def test_what_a_newer_version_has_written_is_left_alone_and_counted(world: World) -> None:
    newer = world.saved("n")
    world.change(newer, format=4, tokens={"of": "another kind"})
    before = world.names()

    world.shelf.tidy()

    assert world.shelf.entries() == []
    assert world.names() == before
    assert world.shelf.has_room(900)
    assert not world.shelf.has_room(901)


def test_a_crash_leaves_nothing_behind(world: World) -> None:
    entry = world.saved()
    (world.folder / world.shelf.new_file()).write_bytes(b"half")
    (world.folder / "22222222.draft").write_bytes(b"half")
    draft_of(world.folder / "33333333.kv").write_bytes(b"half")
    draft_of(world.folder / entry.file).write_bytes(b"half")
    (world.folder / f"{entry.id}.draft").write_bytes(b"half")

    world.another().tidy()

    assert world.names() == {entry.file, f"{entry.id}.json"}
    assert world.ids() == {entry.id}


def test_what_an_engine_left_half_of_one_that_is_given_up_goes_with_it(world: World) -> None:
    name = world.shelf.new_file()
    draft_of(world.folder / name).write_bytes(b"half")

    world.shelf.give_up(name)

    assert world.names() == set()


def test_a_budget_that_was_made_smaller_is_kept_at_the_next_start(world: World) -> None:
    world.saved("a")
    world.now_s += 1
    later = world.saved("b")
    world.budget = 150

    world.shelf.tidy()

    assert world.ids() == {later.id}


def test_what_is_not_ours_stays_whatever_happens(world: World) -> None:
    world.saved()
    (world.folder / "notes.txt").write_bytes(b"mine")
    (world.folder / "0123.kv").write_bytes(b"mine")
    (world.folder / "folder").mkdir()

    world.shelf.tidy()
    world.shelf.remove_all()

    assert world.names() == {"notes.txt", "0123.kv", "folder"}


@pytest.mark.parametrize("wrong", ["..", "", "../x", "no", "*"])
def test_what_is_no_id_removes_nothing(world: World, wrong: str) -> None:
    entry = world.saved()
    beside = world.folder.parent / "x.kv"
    beside.write_bytes(b"mine")

    world.shelf.remove(wrong)

    assert world.ids() == {entry.id}
    assert beside.exists()


def test_all_means_what_is_being_written_and_what_other_versions_left_as_well(world: World) -> None:
    world.change(world.saved("n"), format=4)
    world.saved()
    (world.folder / world.shelf.new_file()).write_bytes(b"half")

    world.shelf.remove_all()

    assert world.names() == set()


def test_what_is_removed_while_it_is_written_is_not_taken_in(world: World) -> None:
    name = world.shelf.new_file()
    (world.folder / name).write_bytes(b"x" * 100)
    world.another().remove_all()

    taken = world.shelf.take_in(name, Made("model", "m", blocks(LONG), 800), written_bytes=100)

    assert taken is None
    assert world.names() == set()


def test_a_record_under_another_name_stands_for_nothing(world: World) -> None:
    entry = world.saved()
    (world.folder / "22222222.json").write_bytes(world.record(entry).read_bytes())

    assert world.shelf.entries() == [entry]
    world.shelf.tidy()
    assert world.names() == {entry.file, f"{entry.id}.json"}


def test_a_link_in_the_place_of_a_file_is_neither_found_nor_followed(world: World) -> None:
    entry = world.saved()
    file, elsewhere = world.folder / entry.file, world.folder.parent / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)

    assert world.shelf.entries() == []
    assert not world.shelf.check(entry)
    assert world.names() == set()
    assert elsewhere.stat().st_size == entry.size_bytes
