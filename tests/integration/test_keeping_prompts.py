"""Prompts stay in slots, and what slots lose is on disk before: with an engine on llama.cpp's wire."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from localllm.planning.prompt_keeping import Kept
from localllm.prefix.keeping import IDLE_S
from tests.fakes.kept_prompts import Talk, a_desk
from tests.fakes.slotted_engine import Fault

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
MOST_AGAIN = 64
"""Tokens that may be read beyond the new ones."""

WHOLE = 1000
"""Of a conversation there are more."""


async def test_a_conversation_goes_to_its_slot(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        one, other = Talk("one"), Talk("other")
        first = [await desk.turn(one), await desk.turn(other)]

        again = [await desk.turn(talk) for talk in (one, other, one, other)]

        assert min(first) >= WHOLE
        assert max(again) <= MOST_AGAIN
        assert desk.names() == [], "nothing was pushed out"


async def test_what_is_pushed_out_is_saved_before_and_put_back_into_any_slot(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        talks = [Talk(name) for name in ("one", "two", "three")]
        for talk in talks:
            await desk.turn(talk)
        assert [what for what, _ in desk.server.done] == ["save"]

        again = [await desk.turn(talk) for talk in talks]

        assert max(again) <= MOST_AGAIN
        assert {what for what, _ in desk.server.done} == {"save", "restore"}
        assert max(entry.uses for entry in desk.entries()) >= 1


async def test_what_was_put_back_and_not_gone_on_with_is_not_saved_twice(tmp_path: Path) -> None:
    async with a_desk(tmp_path, slots=1) as desk:
        one, other = Talk("one"), Talk("other")
        await desk.turn(one)
        await desk.turn(other)

        async with desk.placed(one.turn()):
            pass  # the client has gone before it was sent
        await desk.turn(other)

        assert [what for what, _ in desk.server.done] == ["save", "save", "restore", "restore"]


async def test_what_is_on_disk_is_put_back_in_another_run(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        talk = Talk("one")
        await desk.turn(talk)
        await desk.keeping.farewell(desk.engine.instance)
        desk.another_run()

        assert await desk.turn(talk) <= MOST_AGAIN
        assert desk.server.done == [("save", 0), ("restore", 0)]


async def test_another_run_holds_nothing_also_where_it_has_the_name_of_an_earlier_one(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.turn(Talk("one"))
        before = desk.keeping.run_of(desk.engine)

        desk.another_run()

        assert [one.outline for one in desk.holdings()] == [None, None]
        assert not desk.keeping.is_current(before)


async def test_what_an_idle_engine_holds_is_saved_after_a_while_and_not_before(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk, anyio.create_task_group() as tasks:
        await tasks.start(desk.keep)
        await desk.turn(Talk("one"))
        await desk.turn(Talk("two", tokens=2000))
        desk.clock.now += IDLE_S - 0.1
        looked = desk.clock.asked
        await desk.until(lambda: desk.clock.asked >= looked + 2, "it has looked twice")
        assert desk.server.done == []

        desk.clock.now += 0.2

        await desk.until(lambda: len(desk.entries()) == 2, "both are saved")
        assert desk.server.done == [("save", 1), ("save", 0)], "the longest first"
        tasks.cancel_scope.cancel()


async def test_what_a_busy_engine_holds_is_not_saved(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk, anyio.create_task_group() as tasks:
        await tasks.start(desk.keep)
        await desk.turn(Talk("one"))

        async with desk.placed(Talk("other").turn()):
            desk.clock.now += 10
            await desk.until_looked()
            assert desk.server.done == []
        desk.clock.now += IDLE_S

        await desk.until(lambda: desk.server.done, "now it is saved")
        tasks.cancel_scope.cancel()


async def test_a_request_that_comes_while_an_idle_engine_saves_waits_for_one_slot_alone(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk, anyio.create_task_group() as tasks:
        one = Talk("one")
        await desk.turn(one)
        await desk.turn(Talk("two", tokens=2000))
        desk.server.faults["save"] = Fault.HANGS
        await tasks.start(desk.keep)
        desk.clock.now += IDLE_S
        await desk.server.until(lambda: desk.server.hangs == 1, "it saves")

        async with anyio.create_task_group() as asking:
            asking.start_soon(desk.turn, one)
            await desk.until(lambda: not desk.keeping.run_of(desk.engine).is_idle, "it has come")
            desk.server.go_on()

        assert desk.server.done == [("save", 1)]
        assert desk.server.read[-1] <= MOST_AGAIN
        tasks.cancel_scope.cancel()


async def test_an_engine_that_is_about_to_end_has_all_saved_and_is_forgotten(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.turn(Talk("one"))
        await desk.turn(Talk("two", tokens=2000))
        run = desk.keeping.run_of(desk.engine)

        await desk.keeping.farewell(desk.engine.instance)
        await desk.keeping.farewell(desk.engine.instance)
        await desk.keeping.farewell("unheard of")

        assert desk.server.done == [("save", 1), ("save", 0)]
        assert len(desk.entries()) == 2
        assert not desk.keeping.is_current(run)


async def test_what_has_ended_by_itself_is_forgotten_with_all_that_it_held(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.turn(Talk("one"))

        desk.keeping.forget(desk.engine.instance)

        assert [one.outline for one in desk.holdings()] == [None, None]
        assert desk.server.done == []


async def test_what_is_short_is_never_saved(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.turn(Talk("one", tokens=100))

        await desk.keeping.farewell(desk.engine.instance)

        assert desk.names() == []


async def test_a_request_that_breaks_off_is_known_and_not_saved(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        async with desk.placed(Talk("one").turn()):
            pass

        [holding, _] = desk.holdings()
        assert holding.outline is not None
        assert (holding.tokens, holding.is_busy, holding.is_saved) == (0, False, True)
        await desk.keeping.farewell(desk.engine.instance)
        assert desk.server.done == []


async def test_a_turn_that_breaks_off_takes_nothing_from_what_its_conversation_holds(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        talk = Talk("one")
        await desk.turn(talk)
        before = desk.holdings()[0]

        async with desk.placed(talk.turn("and on")):
            pass

        after = desk.holdings()[0]
        assert (after.outline, after.tokens) == (before.outline, before.tokens)
        await desk.keeping.farewell(desk.engine.instance)
        assert len(desk.entries()) == 1, "it was not saved yet"


async def test_a_client_that_goes_while_its_slot_is_saved_frees_it_and_it_is_saved_later(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, slots=1) as desk:
        one, other = Talk("one"), Talk("other")
        await desk.turn(one)
        desk.server.faults["save"] = Fault.HANGS
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.ask, other.turn())
            await desk.server.until(lambda: desk.server.hangs == 1, "it is saved")
            tasks.cancel_scope.cancel()

        [holding] = desk.holdings()
        assert (holding.is_busy, holding.is_saved) == (False, False)
        assert desk.keeping.run_of(desk.engine).is_idle
        desk.server.go_on()
        await desk.turn(other)
        assert await desk.turn(one) <= MOST_AGAIN
        assert len(desk.names()) == 4, "each has its record, and nothing half is left"


async def test_a_client_that_goes_while_its_prompt_is_put_back_leaves_an_empty_slot(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, slots=1) as desk:
        one, other = Talk("one"), Talk("other")
        await desk.turn(one)
        await desk.turn(other)
        desk.server.faults["restore"] = Fault.HANGS
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.ask, one.turn())
            await desk.server.until(lambda: desk.server.hangs == 1, "it is put back")
            tasks.cancel_scope.cancel()

        [holding] = desk.holdings()
        assert (holding.is_busy, holding.outline, holding.tokens) == (False, None, 0)
        desk.server.go_on()
        assert await desk.turn(other) <= MOST_AGAIN, "it was on disk"


async def test_two_at_once_never_get_the_same_slot_and_one_more_gets_none(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        talk = Talk("one")
        async with (
            desk.placed(talk.turn()) as (_, first),
            desk.placed(talk.body()) as (_, second),
            desk.placed(talk.body()) as (body, third),
        ):
            assert first is not None
            assert second is not None
            assert {first.slot, second.slot} == {0, 1}
            assert (third, b"id_slot" in body) == (None, False)

        assert not any(one.is_busy for one in desk.holdings())


async def test_many_at_once_share_the_slots_and_leave_none_busy(tmp_path: Path) -> None:
    async with a_desk(tmp_path, slots=3) as desk:
        taken: list[int] = []
        most: list[int] = []

        async def ask(name: str) -> None:
            async with desk.placed(Talk(name).turn()) as (_, placed):
                if placed is not None:
                    assert placed.slot not in taken
                    taken.append(placed.slot)
                    most.append(len(taken))
                    await anyio.lowlevel.checkpoint()
                    taken.remove(placed.slot)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(ask, f"talk {number}")

        assert (max(most) <= 3, desk.keeping.run_of(desk.engine).is_idle) == (True, True)
        assert not any(one.is_busy for one in desk.holdings())


async def test_where_the_engine_chooses_no_slot_is_named(tmp_path: Path) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED, pins=False) as desk:
        talk = Talk("one")
        await desk.turn(talk)

        assert await desk.turn(talk) <= MOST_AGAIN
        assert not any("id_slot" in chat for chat in desk.server.chats)


async def test_a_request_that_was_placed_in_a_run_that_has_ended_changes_nothing_of_the_next(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        async with desk.placed(Talk("one").turn()) as (_, placed):
            assert placed is not None
            desk.another_run()
            await desk.turn(Talk("other"))
            before = list(desk.holdings())
            placed.tokens = 5000

        assert desk.holdings() == before


async def test_leave_that_is_taken_while_a_slot_is_made_free_comes_after_it(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.turn(Talk("one"))
        await desk.turn(Talk("two", tokens=2000))
        desk.server.faults["save"] = Fault.HANGS
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.ask, Talk("three").turn())
            await desk.server.until(lambda: desk.server.hangs == 1, "one is saved")
            tasks.start_soon(desk.keeping.farewell, desk.engine.instance)
            await anyio.wait_all_tasks_blocked()
            desk.server.go_on()

        assert desk.server.done[:2] == [("save", 0), ("save", 1)]
        assert len(desk.entries()) >= 2, "and the third, if it was quick"
