"""Requests on the shelf, where an engine cannot save its slots."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from localllm.prefix.shelf import Made
from tests.unit.prefix.a_prompt import blocks
from tests.unit.prefix.a_shelf import CHAT, LONG, World, mode, take_in_text


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def made(letters: str = LONG) -> Made:
    return Made("model", "m", blocks(letters), 800, CHAT)


def test_a_request_is_read_as_it_was_kept_by_another_process_too(world: World) -> None:
    entry = world.saved_text(body=b'{"a": 1}')

    assert world.another().entries() == [entry]
    assert world.another().read_text(entry) == b'{"a": 1}'
    assert (entry.path, entry.size_bytes) == (CHAT, 8)
    assert world.names() == {f"{entry.id}.request", f"{entry.id}.json"}


def test_only_its_user_can_read_it(world: World) -> None:
    before = os.umask(0)
    try:
        world.saved_text()
    finally:
        os.umask(before)

    assert mode(world.folder) == 0o700
    assert {mode(file) for file in world.folder.iterdir()} == {0o600}


def test_it_is_not_put_back_into_a_slot(world: World) -> None:
    world.saved_text()

    assert world.shelf.best("model", blocks(LONG)) is None


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:50])


def turn_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[20] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, turn_a_bit, Path.unlink])
def test_what_is_damaged_is_not_read_and_is_removed(
    world: World, damage: Callable[[Path], None]
) -> None:
    entry = world.saved_text()
    damage(world.folder / entry.file)

    assert world.shelf.read_text(entry) is None
    assert world.names() == set()


def test_a_longer_one_takes_its_beginnings_place_and_a_slot_stays(world: World) -> None:
    slot, short = world.saved(LONG[:20]), world.saved_text(LONG[:20])

    longer = world.saved_text(LONG)

    assert world.ids() == {slot.id, longer.id}
    assert not (world.folder / short.file).exists()


def test_it_counts_for_the_budget_as_slots_do(world: World) -> None:
    world.budget = 250
    first, second = world.saved("a"), world.saved_text("b", b"x" * 100)
    world.shelf.touch(second)

    third = world.saved_text("c", b"x" * 100)

    assert world.ids() == {second.id, third.id}
    assert not (world.folder / first.file).exists()


def test_what_is_larger_than_the_budget_is_not_kept(world: World) -> None:
    kept = world.saved("b")

    assert take_in_text(world.shelf, b"x" * 1001, made()) is None

    assert world.names() == {kept.file, f"{kept.id}.json"}


def test_nothing_is_kept_of_nothing(world: World) -> None:
    assert take_in_text(world.shelf, b"", made()) is None
    assert world.names() == set()


def test_a_full_disk_leaves_nothing_half(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("localllm.versioned.os.replace", full)
        assert take_in_text(world.shelf, b"{}", made()) is None

    assert world.names() == set()


def test_a_folder_that_cannot_be_made_is_no_error(world: World) -> None:
    world.folder.write_bytes(b"a file is in the way")

    assert take_in_text(world.shelf, b"{}", made()) is None


def test_a_crash_leaves_nothing_behind_and_what_was_whole_stays(world: World) -> None:
    entry, slot = world.saved_text("a"), world.saved("b")
    (world.folder / "22222222.request").write_bytes(b"without a record")

    world.another().tidy()

    assert world.ids() == {entry.id, slot.id}
    assert len(world.names()) == 4


def test_it_is_removed_by_its_id_and_with_all(world: World) -> None:
    first = world.saved_text("a")
    world.saved_text("b")

    world.shelf.remove(first.id)
    assert len(world.names()) == 2

    world.shelf.remove_all()
    assert world.names() == set()


def test_a_name_is_never_given_twice_whatever_it_is_for(world: World) -> None:
    names = {world.shelf.new_file(end)[:8] for end in (".kv", ".request") for _ in range(20)}

    assert len(names) == 40


@pytest.mark.parametrize(
    "path", ["@elsewhere/v1/chat/completions", "//elsewhere", "/v1/chat/completions\n", "/slots/0"]
)
def test_a_record_that_names_another_place_to_send_it_to_is_none(world: World, path: str) -> None:
    world.change(world.saved_text(), path=path)

    assert world.shelf.entries() == []


def test_a_record_that_calls_a_slot_a_request_stands_for_nothing(world: World) -> None:
    world.change(world.saved(), path=CHAT)

    assert world.shelf.entries() == []
    world.shelf.tidy()
    assert world.names() == set()
