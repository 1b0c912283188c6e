"""What is on disk of prompts, and what becomes of it when disks, files and engines fail."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from localllm.planning.prompt_keeping import Kept
from localllm.prefix.keeping import IDLE_S
from tests.fakes.kept_prompts import Desk, Talk, a_desk
from tests.fakes.slotted_engine import Fault

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
MOST_AGAIN = 64
"""Tokens that may be read beyond the new ones."""

WHOLE = 1000
"""Of a conversation there are more."""


async def saved(desk: Desk, talk: Talk) -> None:
    """Have a conversation on disk, and a new process."""
    await desk.turn(talk)
    await desk.keeping.farewell(desk.engine.instance)
    desk.another_run()


@pytest.mark.parametrize("fault", [Fault.REFUSES, Fault.WRITES_HALF])
async def test_a_save_that_fails_costs_nothing_and_is_tried_once(
    tmp_path: Path, fault: Fault
) -> None:
    async with a_desk(tmp_path, slots=1) as desk, anyio.create_task_group() as tasks:
        await tasks.start(desk.keep)
        await desk.turn(Talk("one"))
        desk.server.faults["save"] = fault
        desk.clock.now += IDLE_S
        await desk.until(lambda: desk.holdings()[0].is_saved, "it was tried")

        assert await desk.turn(Talk("other")) >= WHOLE

        assert desk.server.done == [("save", 0)]
        await desk.until(lambda: desk.names() == [], "nothing is left")
        tasks.cancel_scope.cancel()


async def test_a_prompt_that_nobody_goes_on_from_is_gone_on_from_in_its_slot_and_never_on_disk(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, slots=1) as desk:
        passing = Talk("a bench's")
        passing.answered(await desk.ask(passing.turn(), is_passing=True))
        await desk.ask(passing.turn(), is_passing=True)
        assert desk.server.read[-1] <= MOST_AGAIN

        await desk.turn(Talk("a person's"))  # which takes the slot
        await desk.keeping.farewell(desk.engine.instance)

        assert [what for what, _ in desk.server.done] == ["save"]


@pytest.mark.parametrize(("kept", "left"), [(Kept.SAVED, 1), (Kept.NOT, 0)])
async def test_a_crowded_cache_is_left_only_by_what_is_kept_elsewhere(
    tmp_path: Path, kept: Kept, left: int
) -> None:
    async with a_desk(tmp_path, kept=kept) as desk:
        desk.engine = replace(desk.engine, cells=WHOLE)
        await desk.turn(Talk("one"))

        await desk.turn(Talk("two"))

        assert [what for what, _ in desk.server.done].count("erase") == left


async def test_an_engine_that_dies_while_it_saves_leaves_nothing_half(tmp_path: Path) -> None:
    async with a_desk(tmp_path, slots=1) as desk:
        await desk.turn(Talk("one"))
        desk.server.faults["save"] = Fault.DIES

        await desk.keeping.farewell(desk.engine.instance)

        assert (desk.server.is_dead, desk.names()) == (True, [])


async def test_what_an_engine_does_not_take_back_is_read_and_tried_again_by_its_next_run_alone(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        talk, other = Talk("one"), Talk("two")
        await saved(desk, talk)
        desk.server.faults["restore"] = Fault.REFUSES
        async with desk.placed(talk.body()):
            pass
        async with desk.placed(talk.body()):
            pass
        assert [what for what, _ in desk.server.done].count("restore") == 1

        desk.another_run()
        desk.server.faults.clear()

        assert await desk.turn(other) >= WHOLE
        assert await desk.turn(talk) <= MOST_AGAIN


async def test_what_an_engine_dies_of_is_removed_and_not_given_to_its_next_run(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        talk = Talk("one")
        await saved(desk, talk)
        desk.server.faults["restore"] = Fault.DIES
        async with desk.placed(talk.body()):
            assert desk.server.is_dead

        desk.another_run()
        desk.server.faults.clear()

        assert await desk.turn(talk) >= WHOLE


async def test_an_engine_that_is_gone_already_says_nothing_against_a_file(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        talk = Talk("one")
        await saved(desk, talk)
        desk.server.is_dead = True
        async with desk.placed(talk.body()):
            pass

        desk.another_run()

        assert await desk.turn(talk) <= MOST_AGAIN


async def test_a_damaged_file_is_never_put_back(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        talk = Talk("one")
        await saved(desk, talk)
        [file] = desk.folder.glob("*.kv")
        data = file.read_bytes()
        file.write_bytes(data[:-1] + b"?")

        assert await desk.turn(talk) >= WHOLE

        assert desk.server.done == [("save", 0)]
        assert desk.names() == []


async def test_another_keys_file_is_never_put_back(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        talk = Talk("one")
        await saved(desk, talk)
        desk.engine = replace(desk.engine, key="another model")

        assert await desk.turn(talk) >= WHOLE

        assert desk.server.done == [("save", 0)]


async def test_what_there_is_no_room_for_is_not_kept_and_serving_goes_on(tmp_path: Path) -> None:
    async with a_desk(tmp_path, slots=1) as desk:
        desk.budget[0] = 100
        for name in ("one", "two", "three"):
            await desk.turn(Talk(name))

        assert desk.names() == []
        assert [what for what, _ in desk.server.done] == ["save"], "its size was unknown"


async def test_what_is_known_to_be_too_large_is_not_even_written(tmp_path: Path) -> None:
    async with a_desk(tmp_path, slots=1) as desk:
        await desk.turn(Talk("one"))
        await desk.turn(Talk("two"))
        desk.budget[0] = 100

        await desk.turn(Talk("three"))

        assert desk.server.done == [("save", 0)]


async def test_without_a_shelf_slots_are_chosen_and_nothing_is_written(tmp_path: Path) -> None:
    async with a_desk(tmp_path, on_disk=False) as desk:
        talks = [Talk(name) for name in ("one", "two", "three")]
        for talk in talks:
            await desk.turn(talk)

        assert await desk.turn(talks[2]) <= MOST_AGAIN
        await desk.keeping.farewell(desk.engine.instance)
        await desk.keeping.run()  # returns: there is nothing to do
        assert (desk.server.done, desk.names()) == ([], [])


async def test_where_slots_are_not_saved_the_request_is_kept_for_its_user_alone(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED) as desk:
        talk = Talk("one")
        body = talk.turn(temperature=0.5)
        await desk.ask(body)

        await desk.keeping.farewell(desk.engine.instance)

        [entry] = desk.entries()
        assert desk.names() == [f"{entry.id}.json", f"{entry.id}.request"]
        assert (desk.folder / entry.file).read_bytes() == body
        modes = {stat.S_IMODE(file.stat().st_mode) for file in desk.folder.iterdir()}
        assert (modes, desk.server.done) == ({0o600}, [])


async def test_a_request_that_is_on_disk_is_not_held_in_memory_any_more(tmp_path: Path) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED) as desk, anyio.create_task_group() as tasks:
        await tasks.start(desk.keep)
        await desk.turn(Talk("one"))
        assert desk.holdings()[0].prompt is not None
        desk.clock.now += IDLE_S

        await desk.until(desk.entries, "it is saved")
        await desk.until(lambda: desk.holdings()[0].prompt is None, "it is let go of")
        tasks.cancel_scope.cancel()


async def test_a_request_that_is_kept_is_not_looked_for_by_others(tmp_path: Path) -> None:
    """It is read ahead; who asks has it read by asking."""
    async with a_desk(tmp_path, kept=Kept.REPLAYED) as desk:
        talk = Talk("one")
        await saved(desk, talk)

        assert await desk.turn(talk) >= WHOLE
        assert desk.entries()[0].uses == 0


async def test_a_request_of_more_than_8_mib_is_not_kept(tmp_path: Path) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED) as desk:
        talk = Talk("one")
        for size in (8 << 20, (8 << 20) + 1):
            body = talk.body(user="")
            body = talk.body(user="u" * (size - len(body)))
            assert len(body) == size
            async with desk.placed(body) as (_, placed):
                assert placed is not None
                placed.tokens = 1000
            await desk.keeping.farewell(desk.engine.instance)

        assert [entry.size_bytes for entry in desk.entries()] == [8 << 20]


async def test_what_was_given_up_and_written_all_the_same_is_removed_with_the_next(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, slots=1) as desk:
        await desk.turn(Talk("one"))
        desk.server.faults["save"] = Fault.HANGS
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.ask, Talk("other").turn())
            await desk.server.until(lambda: desk.server.hangs == 1, "it is saved")
            tasks.cancel_scope.cancel()
        desk.server.go_on()
        await desk.until(lambda: not desk.server.slots[0].works.locked(), "it has seen that")
        name = desk.server.asked[-1]
        (desk.folder / name).write_bytes(b"half")  # llama.cpp goes on with it

        await desk.turn(Talk("other"))

        [entry] = desk.entries()
        assert name != entry.file
        assert desk.names() == [f"{entry.id}.json", f"{entry.id}.kv"]


async def test_a_slow_disk_at_the_end_of_an_engine_leaves_nothing_for_long(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.turn(Talk("one"))
        desk.server.faults["save"] = Fault.HANGS
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.keeping.farewell, desk.engine.instance)
            await desk.server.until(lambda: desk.server.hangs == 1, "it is saved")
            (desk.folder / desk.server.asked[-1]).write_bytes(b"half")
            tasks.cancel_scope.cancel()  # its time is over
        desk.server.go_on()
        desk.another_run()

        await saved(desk, Talk("two"))

        [entry] = desk.entries()
        assert desk.names() == [f"{entry.id}.json", f"{entry.id}.kv"]
