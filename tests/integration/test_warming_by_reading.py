"""Where slots cannot be put back, requests are read again before anybody asks, and nobody waits for that."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from localllm.planning.prompt_keeping import Kept
from localllm.prefix.keeping import IDLE_S
from tests.fakes.kept_prompts import (
    Running,
    Talk,
    a_desk,
    being_warmed,
    on_disk,
    warm,
    warming,
)
from tests.fakes.slotted_engine import BYTES_PER_TOKEN, Fault

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
MOST_AGAIN = 64
WHOLE = 1000
WATCHED = {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}


async def test_requests_are_read_ahead_for_their_prompt_alone_two_at_most(tmp_path: Path) -> None:
    async with a_desk(tmp_path, slots=4, kept=Kept.REPLAYED, clock=Running()) as desk:
        talks = [Talk(str(size), size) for size in (1000, 3000, 2000)]
        for talk in talks:
            talk.answered(
                await desk.ask(talk.turn(stream=False, stream_options={}, n_predict=99, seed=7))
            )
            await desk.keeping.farewell(desk.engine.instance)
            desk.server.restart()
        desk.another_run()
        desk.server.chats.clear()

        await warm(desk)

        assert [chat["messages"][0]["content"][:4] for chat in desk.server.chats] == [
            "3000",
            "2000",
        ]
        for chat in desk.server.chats:
            del chat["messages"]
        said = {"seed": 7, "max_tokens": 1, **WATCHED}
        assert desk.server.chats == [{**said, "id_slot": 0}, {**said, "id_slot": 1}]
        assert [await desk.turn(talk) <= MOST_AGAIN for talk in talks] == [False, True, True]
        assert {entry.uses for entry in desk.entries()} == {0}


async def test_where_the_engine_chooses_it_is_left_to_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED, pins=False, clock=Running()) as desk:
        talk = Talk("one")
        await on_disk(desk, talk)

        await warm(desk)

        assert ["id_slot" in chat for chat in desk.server.chats] == [False]
        assert await desk.turn(talk) <= MOST_AGAIN


async def test_nothing_is_read_ahead_where_that_is_turned_off(tmp_path: Path) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED, clock=Running()) as desk:
        await on_disk(desk, Talk("one"))

        await warm(desk, reads_ahead=False)

        assert desk.server.chats == []


async def test_what_a_slot_has_is_not_read_ahead(tmp_path: Path) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED, clock=Running()) as desk:
        talk = Talk("one")
        await on_disk(desk, talk)
        await desk.turn(talk)

        await warm(desk)

        assert len(desk.server.chats) == 1


async def test_a_damaged_request_is_removed_and_never_sent(tmp_path: Path) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED, clock=Running()) as desk:
        await on_disk(desk, Talk("one"))
        [entry] = desk.entries()
        (desk.folder / entry.file).write_bytes(b"x" * entry.size_bytes)

        await warm(desk)

        assert (desk.server.chats, desk.names()) == ([], [])


async def test_a_request_that_the_engine_refuses_is_no_harm(tmp_path: Path) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED, clock=Running()) as desk:
        await on_disk(desk, Talk("one"))
        desk.server.faults["chat"] = Fault.REFUSES

        await warm(desk)

        assert len(desk.server.chats) == 1
        assert {one.tokens for one in desk.holdings()} == {0}


async def test_a_request_that_comes_ends_the_reading_at_once_and_has_what_was_read(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED) as desk:
        talk = Talk("one", 4000)
        await on_disk(desk, talk)
        desk.server.faults["chat"] = Fault.HANGS
        async with being_warmed(desk):
            await desk.server.until(lambda: desk.server.hangs == 1, "it is read")
            desk.server.faults.clear()

            read = await desk.turn(talk)

            assert desk.server.gone == 1, "the engine has seen that nobody waits for it"
            half = len(talk.messages[0]["content"]) // BYTES_PER_TOKEN // 2
            assert read <= half + MOST_AGAIN
            assert {chat["id_slot"] for chat in desk.server.chats} == {0}
            desk.clock.now += IDLE_S
        assert len(desk.server.chats) == 2, "who asked has had it read"


async def test_the_reading_goes_on_after_a_rest_and_not_before(tmp_path: Path) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED) as desk:
        talk = Talk("one", 4000)
        await on_disk(desk, talk)
        desk.server.faults["chat"] = Fault.HANGS
        async with being_warmed(desk):
            await desk.server.until(lambda: desk.server.hangs == 1, "it is read")
            desk.server.faults.clear()
            await desk.turn(Talk("something else", 100))
            desk.clock.now += IDLE_S - 0.1
            looked = desk.clock.asked
            await desk.until(lambda: desk.clock.asked >= looked + 3, "it has looked")
            assert len(desk.server.chats) == 2
            desk.clock.now += 0.2

        assert len(desk.server.chats) == 3
        half = len(talk.messages[0]["content"]) // BYTES_PER_TOKEN // 2
        assert desk.server.read[-1] <= half + MOST_AGAIN, "a side request went elsewhere"
        assert await desk.turn(talk) <= MOST_AGAIN


async def test_it_gives_up_where_somebody_comes_again_and_again(tmp_path: Path) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED, clock=Running()) as desk:
        await on_disk(desk, Talk("one"))
        desk.server.faults["chat"] = Fault.HANGS
        async with being_warmed(desk):
            for time in range(5):
                await desk.server.until(lambda n=time: desk.server.hangs == n + 1, "it is read")
                async with desk.placed(Talk(f"another {time}", 10).turn()):
                    pass

        await desk.server.until(lambda: desk.server.gone == 5, "none was waited for")
        assert desk.server.hangs == 5


async def test_a_request_that_has_come_and_has_no_slot_yet_is_not_read_ahead_of(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED) as desk:
        await on_disk(desk, Talk("one"))
        run = desk.keeping.run_of(desk.engine)
        other = Talk("other")
        async with anyio.create_task_group() as tasks:
            async with run.placing:
                tasks.start_soon(desk.turn, other)
                await desk.until(lambda: not run.is_idle, "it has come")
                desk.clock.now += 10
                tasks.start_soon(warming(desk).warm, desk.engine)
                await desk.until_looked()
                assert desk.server.chats == []
            await desk.until(lambda: run.is_idle, "it is answered")
            desk.clock.now += 10

        said = [chat["messages"][0]["content"][:5] for chat in desk.server.chats]
        assert said == ["other", "one. "]


async def test_a_request_without_a_slot_ends_the_reading_too_and_has_the_engine_for_itself(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED) as desk:
        await on_disk(desk, Talk("one"))
        desk.server.faults["chat"] = Fault.HANGS
        async with being_warmed(desk):
            await desk.server.until(lambda: desk.server.hangs == 1, "it is read")
            desk.server.faults.clear()
            with desk.keeping.used(desk.engine):
                await desk.server.until(lambda: desk.server.gone == 1, "it is given up")
                desk.clock.now += 10
                await desk.until_looked()
                assert len(desk.server.chats) == 1
            desk.clock.now += 10

        assert len(desk.server.chats) == 2


async def test_who_is_warmed_twice_reads_one_thing_at_a_time_and_stops_for_who_comes(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED) as desk:
        await on_disk(desk, Talk("one"), Talk("two"))
        desk.server.faults["chat"] = Fault.HANGS
        async with being_warmed(desk), being_warmed(desk):
            await desk.server.until(lambda: desk.server.hangs == 1, "it is read")
            await anyio.wait_all_tasks_blocked()
            assert desk.server.hangs == 1
            desk.server.faults.clear()
            async with desk.placed(Talk("other").turn()):
                await desk.server.until(lambda: desk.server.gone == 1, "nothing is read")
            desk.clock.now += 10

        assert len(desk.server.chats) <= 3


async def test_leave_that_is_taken_ends_the_reading(tmp_path: Path) -> None:
    async with a_desk(tmp_path, kept=Kept.REPLAYED, clock=Running()) as desk:
        await on_disk(desk, Talk("one"), Talk("two"))
        desk.server.faults["chat"] = Fault.HANGS
        async with being_warmed(desk):
            await desk.server.until(lambda: desk.server.hangs == 1, "it is read")

            await desk.keeping.farewell(desk.engine.instance)

        assert (desk.server.hangs, len(desk.entries())) == (1, 2)
