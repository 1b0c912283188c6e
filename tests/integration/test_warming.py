"""After a start, prompts are in the engine again before anybody asks, and nobody waits for that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from localllm.planning.prompt_keeping import Kept
from tests.fakes.kept_prompts import (
    DAY_S,
    Running,
    Talk,
    a_desk,
    being_warmed,
    on_disk,
    warm,
)
from tests.fakes.slotted_engine import Fault

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
MOST_AGAIN = 64
WHOLE = 1000


async def test_saved_slots_are_put_back_the_most_valuable_first_until_all_are_full(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, clock=Running()) as desk:
        talks = [Talk(str(size), size) for size in (1000, 3000, 2000)]
        await on_disk(desk, *talks)

        await warm(desk)

        assert desk.server.done == [("restore", 0), ("restore", 1)]
        assert ["3000" in slot.text for slot in desk.server.slots] == [True, False]
        read = [await desk.turn(talk) for talk in talks[1:]]
        assert max(read) <= MOST_AGAIN
        assert [what for what, _ in desk.server.done] == ["restore", "restore"]


async def test_a_small_request_that_was_first_leaves_its_slot_to_be_filled(tmp_path: Path) -> None:
    async with a_desk(tmp_path, slots=1, clock=Running()) as desk:
        talk = Talk("one")
        await on_disk(desk, talk)
        await desk.turn(Talk("a title", 20))

        await warm(desk)

        assert desk.server.done == [("restore", 0)]
        assert await desk.turn(talk) <= MOST_AGAIN


async def test_what_has_broken_off_is_left_where_another_slot_is_empty(tmp_path: Path) -> None:
    async with a_desk(tmp_path, clock=Running()) as desk:
        await on_disk(desk, Talk("one"))
        async with desk.placed(Talk("two").turn()) as (_, placed):
            assert placed is not None

        await warm(desk)

        assert desk.server.done == [("restore", 1 - placed.slot)]


async def test_what_was_put_back_counts_as_if_it_were_used_just_now(tmp_path: Path) -> None:
    async with a_desk(tmp_path, clock=Running()) as desk:
        talk = Talk("one", 4000)
        await on_disk(desk, talk)
        desk.clock.now += 1e6
        desk.another_run()
        await warm(desk)
        await desk.turn(Talk("other"))

        await desk.turn(Talk("a title", 20))
        await desk.turn(talk)

        assert [what for what, _ in desk.server.done] == ["restore", "save"], "the other made room"


async def test_what_a_slot_has_already_is_not_put_back(tmp_path: Path) -> None:
    async with a_desk(tmp_path, clock=Running()) as desk:
        talk = Talk("one")
        await on_disk(desk, talk)
        await desk.turn(talk)
        desk.server.done.clear()

        await warm(desk)

        assert desk.server.done == []


async def test_what_is_put_back_before_it_is_asked_for_is_not_of_use_yet(tmp_path: Path) -> None:
    async with a_desk(tmp_path, clock=Running()) as desk:
        await on_disk(desk, Talk("one"))
        before = desk.entries()

        await warm(desk)

        assert (desk.entries(), before[0].uses) == (before, 0)


@pytest.mark.parametrize("kept", [Kept.SAVED, Kept.REPLAYED])
async def test_what_is_old_or_another_models_is_left_alone(tmp_path: Path, kept: Kept) -> None:
    async with a_desk(tmp_path, kept=kept, clock=Running()) as desk:
        await on_disk(desk, Talk("old"))
        desk.wall[0] += 8 * DAY_S
        ours, desk.engine = desk.engine, replace(desk.engine, key="another")
        await on_disk(desk, Talk("another's"))
        desk.engine = replace(ours, client=desk.engine.client)
        names = desk.names()

        await warm(desk)

        assert (desk.server.done, desk.server.chats, desk.names()) == ([], [], names)


async def test_where_slots_cannot_be_put_back_those_of_better_days_stay_on_disk(
    tmp_path: Path,
) -> None:
    """A model that was given a projector, which may go again."""
    async with a_desk(tmp_path, clock=Running()) as desk:
        await on_disk(desk, Talk("one"))
        names = desk.names()
        desk.engine = replace(desk.engine, kept=Kept.REPLAYED)

        await warm(desk)

        assert (desk.server.done, desk.names()) == ([], names)


async def test_an_engine_that_ends_meanwhile_costs_no_file(tmp_path: Path) -> None:
    async with a_desk(tmp_path, clock=Running()) as desk:
        await on_disk(desk, Talk("one"), Talk("two"))
        names = desk.names()
        desk.server.is_dead = True

        await warm(desk)

        assert desk.names() == names


async def test_where_an_engine_dies_of_one_it_does_not_die_of_the_next(tmp_path: Path) -> None:
    async with a_desk(tmp_path, clock=Running()) as desk:
        await on_disk(desk, Talk("one"), Talk("two", 2000))
        desk.server.faults["restore"] = Fault.DIES

        await warm(desk)

        assert desk.entries() == []
        assert [what for what, _ in desk.server.done].count("restore") <= 1


async def test_what_is_damaged_is_removed_and_the_next_is_put_back(tmp_path: Path) -> None:
    async with a_desk(tmp_path, clock=Running()) as desk:
        await on_disk(desk, Talk("one"), Talk("two", 2000))
        worse, better = desk.entries()
        (desk.folder / better.file).write_bytes(b"x" * better.size_bytes)

        await warm(desk)

        assert (desk.entries(), desk.server.done) == ([worse], [("restore", 0)])


@pytest.mark.parametrize("kept", [Kept.SAVED, Kept.REPLAYED])
async def test_it_ends_with_its_engine_while_it_waits(tmp_path: Path, kept: Kept) -> None:
    async with a_desk(tmp_path, kept=kept) as desk:
        await on_disk(desk, Talk("one"), Talk("two"))
        async with desk.placed(Talk("three").turn()):
            async with being_warmed(desk):
                await desk.until(desk.keeping.run_of(desk.engine).warming.locked, "it waits")
                desk.keeping.forget(desk.engine.instance)

        assert (desk.server.done, desk.server.chats) == ([], [])


async def test_nothing_is_put_back_into_an_engine_that_is_about_to_end(tmp_path: Path) -> None:
    async with a_desk(tmp_path, clock=Running()) as desk:
        await on_disk(desk, Talk("one"))
        names, run = desk.names(), desk.keeping.run_of(desk.engine)
        async with being_warmed(desk):
            async with run.placing:  # as while a slot is saved
                await desk.until(lambda: run.placing.statistics().tasks_waiting, "it is next")
                await desk.keeping.farewell(desk.engine.instance)

        assert (desk.server.done, desk.names()) == ([], names)


async def test_without_a_shelf_there_is_nothing_to_do(tmp_path: Path) -> None:
    async with a_desk(tmp_path, on_disk=False) as desk:
        await warm(desk)

        assert desk.server.chats == []
