"""One model in the place of another: who serves meanwhile, who waits, and who serves if it fails."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from localllm.events import Decided, Topic
from localllm.events import ModelState as S
from localllm.planning.planner import Planned, serving_of
from localllm.supervisor.hosted import Hosted, Terms
from tests.fakes.house import House, a_house, asking
from tests.integration.test_fleet import is_in, sized, until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


def switch_to(house: House, planned: Planned) -> Hosted:
    terms = Terms(replaces_current=True)
    hosted, _ = house.fleet.serve(planned, serving_of(planned, silence_s=20.0), terms)
    return hosted


def said(house: House, topic: Topic) -> list[str]:
    events = (envelope.event for envelope in house.fleet.tools.bus.recent())
    return [e.why for e in events if isinstance(e, Decided) and e.topic is topic]


def served(house: House) -> list[tuple[str, str]]:
    return [(h.planned.model, h.state.value) for h in house.fleet.instances()]


async def who_answers(house: House, **script: object) -> tuple[int, str]:
    status, _, text = await house.ask(asking(model="localllm", **script))
    return status, json.loads(text).get("model", text.decode())


@asynccontextmanager
async def asking_all_the_while(house: House) -> AsyncIterator[list[tuple[int, str]]]:
    """Have four clients ask for whatever is served, for as long as the block runs."""
    answers: list[tuple[int, str]] = []
    going_on = True

    async def ask() -> None:
        while going_on:
            answers.append(await who_answers(house, chunks=1, delay_s=0.02))

    async with anyio.create_task_group() as clients:
        for _ in range(4):
            clients.start_soon(ask)
        try:
            yield answers
        finally:
            going_on = False


async def test_where_both_fit_the_old_model_serves_until_the_new_one_is_ready(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready(sized("a", 5))
        house.flags[:] = ["--fake-load", "0.5"]
        async with asking_all_the_while(house) as answers:
            b = switch_to(house, sized("b", 5))
            await is_in(b, S.READY)
            await until(lambda: served(house) == [("b", "ready")], "the old one is gone")
            await until(lambda: (200, "b") in answers, "the new one answers")

    assert {status for status, _ in answers} == {200}
    assert (b.gap_s, said(house, Topic.SWITCHED)) == (
        0.0,
        ["takes over from a:q4_1:4096: no request waited"],
    )


async def test_where_only_one_fits_requests_wait_and_the_gap_is_measured(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready(sized("a", 10))
        house.flags[:] = ["--fake-load", "0.5"]
        async with asking_all_the_while(house) as answers:
            b = switch_to(house, sized("b", 10))
            await is_in(b, S.READY)
            await until(lambda: (200, "b") in answers, "the new one answers")

    assert {status for status, _ in answers} == {200}, "whoever came in the gap was served"
    assert 0.5 <= (b.gap_s or 0.0) < 20.0
    assert [why.split(" (")[0] for why in said(house, Topic.EVICTED)] == [
        "makes room for b:q4_1:4096"
    ]


async def test_a_running_answer_is_finished_before_its_model_makes_room(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        a = await house.ready(sized("a", 10))
        answers: list[tuple[int, str]] = []

        async def ask() -> None:
            answers.append(await who_answers(house, chunks=1, delay_s=1.0))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: a.in_flight == 1, "it is busy")
            b = switch_to(house, sized("b", 10))
            await until(lambda: a.state is S.DRAINING, "it lets the answer finish")
            assert b.state is S.STOPPED
            await is_in(b, S.READY)

    assert answers == [(200, "a")]


@pytest.mark.parametrize("need", [5, 10], ids=["both fit", "one fits"])
async def test_a_new_model_that_does_not_start_leaves_the_old_one_serving(
    tmp_path: Path, need: int
) -> None:
    async with a_house(tmp_path) as house:
        a = await house.ready(sized("a", need))
        house.flags[:] = ["--fake-layers", "5/5"]
        async with asking_all_the_while(house) as answers:
            b = switch_to(house, sized("b", need))
            await is_in(b, S.FAILED)
            house.flags.clear()
            await is_in(a, S.READY)

    assert set(answers) == {(200, "a")}
    assert house.fleet.names.current == "a"
    assert bool(said(house, Topic.ROLLED_BACK)) == (need == 10)


async def test_a_new_model_that_there_is_no_memory_for_leaves_the_old_one_serving(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        a = await house.ready(sized("a", 10))
        b = switch_to(house, sized("b", 16))
        await until(lambda: b.refused, "it is refused")

        answer = await who_answers(house)

        assert (answer, a.state) == ((200, "a"), S.READY)
        assert b.refused == "b:q4_1:4096 needs 16 MiB of cpu, 15 MiB may be used there"


async def test_a_new_model_that_answers_oddly_does_not_get_the_old_ones_requests(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready(sized("a", 5))
        house.doubts[:] = ["It answered a simple question with nothing at all."]

        b = switch_to(house, sized("b", 5))
        await is_in(b, S.FAILED)

        assert await who_answers(house) == (200, "a")
        assert "nothing at all" in b.runner.record.why
        assert b.runner.record.run == 1, "another try would tell the same"


async def test_a_first_model_that_answers_oddly_serves_and_says_so(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        house.doubts[:] = ["It answered a simple question with nothing at all."]

        a = await house.ready(sized("a", 5))

    assert a.runner.measured is not None
    assert a.runner.measured.doubts == ("It answered a simple question with nothing at all.",)


async def test_a_switch_that_is_called_off_brings_the_old_model_back(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        a = await house.ready(sized("a", 10))
        house.flags[:] = ["--fake-load", "30"]
        b = switch_to(house, sized("b", 10))
        await is_in(b, S.STARTING)
        house.flags.clear()

        await house.fleet.stop(b.planned.model, "test")

        await is_in(a, S.READY)
        assert await who_answers(house) == (200, "a")


async def test_a_pinned_model_stays_when_another_one_takes_its_place(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        a = await house.ready(sized("a", 5))
        a.pinned = True

        b = switch_to(house, sized("b", 5))
        await is_in(b, S.READY)

        assert await who_answers(house) == (200, "b")
        assert a.state is S.READY


async def test_a_switch_to_what_serves_beside_it_stops_the_other_one(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        a = await house.ready(sized("a", 5))
        b = await house.ready(sized("b", 5))
        assert house.fleet.names.current == "b"

        again = switch_to(house, sized("a", 5))

        await until(lambda: b.state is S.STOPPED, "the other one is gone")
        assert (again is a, await who_answers(house)) == (True, (200, "a"))


async def test_a_new_plan_of_the_same_model_that_does_not_fit_beside_it_drains_it_at_once(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        old = await house.ready(sized("a", 10))
        planned = sized("a", 11)
        bigger = replace(planned, plan=replace(planned.plan, context=8192))
        async with asking_all_the_while(house) as answers:
            new = house.serve(bigger)
            await is_in(new, S.READY)
            await until(lambda: old.state is S.STOPPED, "the old one is gone")

    assert {status for status, _ in answers} == {200}


async def test_a_model_whose_file_is_read_ahead_is_on_its_way(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready(sized("a", 10))
        planned = sized("b", 10)
        file = tmp_path / "slow.gguf"
        file.write_bytes(b"x" * (64 << 20))
        slow = replace(planned, stored=replace(planned.stored, file=file))

        b = switch_to(house, slow)

        assert b.reading
        assert house.fleet.is_on_its_way(b)
        assert (await who_answers(house))[0] == 200
        await is_in(b, S.READY)


async def test_two_plans_that_say_localllm_mean_what_was_asked_for_last_and_is_ready(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready(sized("a", 5))
        house.flags[:] = ["--fake-load", "0.5"]
        b = house.serve(sized("b", 5))

        before = await who_answers(house)
        await is_in(b, S.READY)

        assert (before, await who_answers(house)) == ((200, "a"), (200, "b"))


async def test_when_a_new_model_has_to_make_room_itself_the_old_one_answers_again(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        a = await house.ready(sized("a", 10))
        house.flags[:] = ["--fake-layers", "5/5"]
        b = switch_to(house, sized("b", 10))
        await is_in(b, S.BACKOFF)
        house.flags.clear()

        c = house.serve(sized("c", 10))

        await is_in(c, S.READY)
        assert (await house.ask(asking(model="a")))[0] == 200
        assert a.state is S.READY
