"""Slots that hold something else than was thought, disks that hang, caches that are too small."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from localllm.planning.prompt_keeping import Kept
from localllm.prefix.keeping import IDLE_S
from tests.fakes.kept_prompts import DAY_S, Talk, a_desk, on_disk

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
MOST_AGAIN = 64
ANSWER_S = 30.0
"""Longer than anybody waits for a disk."""


async def test_a_slot_that_holds_something_else_by_now_replaces_no_good_file(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, slots=1) as desk:
        talk = Talk("one")
        await desk.turn(talk)
        await desk.keeping.farewell(desk.engine.instance)
        await desk.turn(talk)
        [good] = desk.entries()
        desk.server.slots[0].text = "of another request " * 4

        await desk.keeping.farewell(desk.engine.instance)

        assert desk.entries() == [good]
        assert desk.names() == sorted([good.file, f"{good.id}.json"])


async def test_two_sessions_that_begin_alike_at_the_same_time_share_what_they_begin_with(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        first, second = Talk("agent", 3000), Talk("agent", 3000)
        for talk, project in ((first, "one"), (second, "two")):
            talk.name = project  # as their client numbers them
            talk.messages.append({"role": "user", "content": f"{project} " * 3000})

        whole = await desk.turn(first)
        rest = await desk.turn(second)

        assert rest <= whole * 0.6
        assert await desk.turn(first) <= MOST_AGAIN
        assert await desk.turn(second) <= MOST_AGAIN


async def test_what_is_put_back_and_is_not_all_is_not_tried_again(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        talk = Talk("one")
        await on_disk(desk, talk)
        [entry] = desk.entries()
        desk.shelf.check = lambda _: True  # type: ignore[method-assign]  # as if it were what was saved
        (desk.folder / entry.file).write_bytes(b"Hello".ljust(entry.size_bytes, b"\0"))

        for _ in (1, 2):
            async with desk.placed(talk.body()):
                pass

        assert [what for what, _ in desk.server.done].count("restore") == 1


async def test_a_tiny_request_of_ours_gets_the_slot_that_costs_least_and_nobody_counts_on_it(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        talk = Talk("one")
        await desk.turn(talk)
        held = next(one.slot for one in desk.holdings() if one.tokens)

        spare = desk.keeping.spare_slot(desk.engine.instance)

        assert spare == 1 - held
        assert await desk.turn(talk) <= MOST_AGAIN


async def test_if_all_are_of_worth_the_one_that_is_given_up_is_put_back(tmp_path: Path) -> None:
    async with a_desk(tmp_path, slots=1) as desk:
        talk = Talk("one")
        await desk.turn(talk)
        await desk.keeping.farewell(desk.engine.instance)
        await desk.turn(talk)

        assert desk.keeping.spare_slot(desk.engine.instance) == 0
        desk.server.slots[0].text = "hi"

        assert await desk.turn(talk) <= MOST_AGAIN


async def test_of_an_engine_that_chooses_no_slot_is_given_up(tmp_path: Path) -> None:
    async with a_desk(tmp_path, pins=False) as desk:
        await desk.turn(Talk("one"))

        assert desk.keeping.spare_slot(desk.engine.instance) is None
        assert desk.keeping.spare_slot("another") is None


async def test_a_chat_that_begins_with_a_line_goes_back_to_its_slot(tmp_path: Path) -> None:
    async with a_desk(tmp_path, slots=3) as desk:
        short, other = Talk("", 0), Talk("other", 0)
        short.messages = [{"role": "user", "content": "Write a story about a robot."}]
        other.messages = [{"role": "user", "content": "Name three rivers in France."}]
        for talk in (short, other):
            talk.answered(await desk.ask(talk.body(max_tokens=4)))
        place = next(n for n, one in enumerate(desk.server.slots) if "robot" in one.text)

        async with desk.placed(short.turn("go on")) as (_, placed):
            assert placed is not None
            assert placed.slot == place


async def test_a_disk_that_hangs_holds_one_request_up_for_a_moment_and_the_next_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, asked = threading.Event(), list[int]()

    def hang(*_: object) -> None:
        asked.append(1)
        goes_on.wait(ANSWER_S)

    async with a_desk(tmp_path) as desk:
        monkeypatch.setattr(desk.shelf, "best", hang)
        try:
            for name in ("one", "two"):
                await desk.turn(Talk(name))
            assert asked == [1]

            desk.clock.now += 60
            await desk.turn(Talk("three"))
            assert asked == [1, 1], "it is tried again later"
        finally:
            goes_on.set()


async def test_a_request_to_one_engine_stops_the_reading_ahead_of_another(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        other = replace(desk.engine, instance="other")
        reading = desk.keeping.run_of(other)
        with anyio.CancelScope() as scope:
            reading.reading_ahead = scope
            async with desk.placed(Talk("one").body()):
                pass

            assert scope.cancel_called


async def test_all_is_quiet_when_no_engine_is_used_and_none_was_a_moment_ago(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        desk.keeping.run_of(replace(desk.engine, instance="other"))
        desk.clock.now += IDLE_S
        with desk.keeping.used(desk.engine):
            assert not desk.keeping.all_quiet()
        assert not desk.keeping.all_quiet()

        desk.clock.now += IDLE_S

        assert desk.keeping.all_quiet()


async def test_texts_that_will_not_be_read_ahead_any_more_are_removed(tmp_path: Path) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED) as desk:
        await desk.turn(Talk("one"))
        await desk.keeping.farewell(desk.engine.instance)
        assert len(desk.entries()) == 1

        desk.wall[0] += 8 * DAY_S
        desk.shelf.tidy()

        assert desk.names() == []


async def test_with_no_budget_nothing_is_written_at_all(tmp_path: Path) -> None:
    async with a_desk(tmp_path, slots=1) as desk:
        desk.budget[0] = 0
        for name in ("one", "two"):
            await desk.turn(Talk(name))

        assert desk.server.done == []
