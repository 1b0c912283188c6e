"""Many instances, real processes, and people who change their minds while things load."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from localllm.events import DeviceId
from localllm.events import ModelState as S
from localllm.fit.plan import Memory, Placement
from localllm.planning.planner import Planned, serving_of
from localllm.supervisor.hosted import Hosted
from localllm.units import MIB
from tests.fakes.house import DEADLINE_S, House, a_house, a_plan, asking

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
CPU = DeviceId("cpu")


def sized(model: str, need: int, *, of: int = 15, device: DeviceId = CPU) -> Planned:
    """A model that takes `need` MiB of a device that has `of`."""
    planned = a_plan(model, alias=f"{model}-too")
    memory = Memory(weights=need * MIB, kv_cache=0, compute=0, output=0)
    plan = replace(planned.plan, placement=(Placement(device, 0, memory),))
    return replace(planned, plan=plan, budget={device: of * MIB, CPU: 15 * MIB})


async def until(true: Callable[[], Any], what: str) -> None:
    with anyio.move_on_after(DEADLINE_S):
        while not true():
            await anyio.sleep(0.01)
    assert true(), what


def states(house: House) -> list[tuple[int, str]]:
    return [(h.planned.plan.context, h.state.value) for h in house.fleet.instances()]


async def is_in(hosted: Hosted, state: S) -> None:
    await until(lambda: hosted.state is state, f"{hosted.id} is {state}, not {hosted.state}")


async def test_of_two_asks_the_later_one_is_served_however_far_the_first_has_come(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path, "--fake-load", "1") as house:
        first = house.serve(a_plan(context=2048))
        await is_in(first, S.STARTING)
        second = house.serve(a_plan(context=4096))

        await is_in(second, S.READY)
        await until(lambda: states(house) == [(4096, "ready")], "the first is gone")


async def test_an_old_instance_that_comes_back_first_does_not_push_its_replacement_out(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        old = await house.ready(a_plan(context=2048))
        house.flags[:] = ["--fake-load", "2"]
        new = house.serve(a_plan(context=4096))
        await is_in(new, S.STARTING)
        house.flags.clear()
        os.kill(old.runner.record.pid or 0, signal.SIGKILL)

        await is_in(new, S.READY)
        await until(lambda: states(house) == [(4096, "ready")], "the old one is gone")


async def test_the_old_instance_serves_until_the_new_one_is_ready(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready(a_plan(context=2048))
        house.flags[:] = ["--fake-load", "1"]
        new = house.serve(a_plan(context=4096))

        status, _, _ = await house.ask(asking())

        assert (status, new.state is S.READY) == (200, False)
        await is_in(new, S.READY)


async def test_a_failed_replacement_leaves_the_old_instance_serving_and_shown(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready(a_plan(context=2048))
        house.flags[:] = ["--fake-layers", "5/5"]
        new = house.serve(a_plan(context=4096))
        await is_in(new, S.FAILED)

        named, unnamed = await house.ask(asking()), await house.ask(asking(model=None))
        async with house.http.get("/v1/models") as answer:
            listed = [m for m in (await answer.json())["data"] if m["state"] != "stopped"]

        assert (named[0], unnamed[0]) == (200, 200)
        assert [(m["id"], m["state"], m["context_length"]) for m in listed] == [
            ("small", "ready", 2048)
        ]
        await house.fleet.stop(new.planned.model, "test")
        assert house.fleet.instances() == (), "a model is stopped with all its instances"


async def test_stopping_a_model_stops_the_replacement_that_loads(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        old = await house.ready(a_plan(context=2048))
        house.flags[:] = ["--fake-load", "5"]
        new = house.serve(a_plan(context=4096))
        await is_in(new, S.STARTING)

        stopped = await house.fleet.stop(old.planned.model, "test")

        assert set(stopped) == {old.id, new.id}
        assert house.fleet.instances() == ()


@pytest.mark.parametrize("change", ["slots", "file"])
async def test_the_same_name_with_other_settings_is_another_instance(
    change: str, tmp_path: Path
) -> None:
    async with a_house(tmp_path) as house:
        before = a_plan()
        old = await house.ready(before)
        after = (
            replace(before, plan=replace(before.plan, parallel=8))
            if change == "slots"
            else replace(before, stored=replace(before.stored, file=Path("/other.gguf")))
        )

        new, started = house.fleet.serve(after, serving_of(after, silence_s=20.0))

        assert (started, new is old) == (True, False)
        await is_in(new, S.READY)
        await until(lambda: house.fleet.instances() == (new,), "the old one is gone")


async def test_the_very_same_is_not_started_again(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        old = await house.ready()

        again, started = house.fleet.serve(a_plan(), serving_of(a_plan(), silence_s=20.0))

        assert (again is old, started) == (True, False)


async def test_what_is_being_stopped_can_be_asked_for_again(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        old = await house.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.fleet.stop, old.planned.model, "test")
            await until(lambda: old.retired, "it is on its way out")
            again = house.serve(a_plan())

            await until(lambda: house.fleet.names.require("small").state is S.READY, "it is back")
        assert not again.retired
        assert (await house.ask(asking()))[0] == 200


async def test_a_request_that_waits_for_a_model_is_told_when_it_is_stopped(tmp_path: Path) -> None:
    async with a_house(tmp_path, "--fake-load", "30") as house:
        hosted = house.serve(a_plan())
        answers: list[int] = []

        async def ask() -> None:
            answers.append((await house.ask(asking()))[0])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: hosted.waiting == 1, "it waits")
            await house.fleet.stop(hosted.planned.model, "test")
            await until(lambda: answers, "it is answered")

    assert answers[0] in {404, 503}


async def test_a_request_that_waits_for_the_old_instance_is_served_by_the_new_one(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        old = await house.ready(a_plan(context=2048))
        house.flags[:] = ["--fake-load", "1"]
        new = house.serve(a_plan(context=4096))
        await is_in(new, S.STARTING)
        house.flags[:] = ["--fake-load", "30"]
        os.kill(old.runner.record.pid or 0, signal.SIGKILL)
        await until(lambda: old.state is not S.READY, "it is noticed")

        status, _, _ = await house.ask(asking())

        assert (status, new.state) == (200, S.READY)


async def test_a_model_that_waits_for_a_busy_ones_memory_starts_when_that_is_idle(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        a = await house.ready(sized("a", 10))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.ask, asking(model="a", chunks=1, delay_s=0.5))
            await until(lambda: a.in_flight == 1, "it is busy")
            b = house.serve(sized("b", 10))
            assert b.state is S.STOPPED, "no answer is cut off"

        await is_in(b, S.READY)
        assert a.state is S.STOPPED


async def test_an_evicted_model_comes_back_for_a_request_that_names_it(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        a = await house.ready(sized("a", 10))
        b = await house.ready(sized("b", 10))
        assert a.state is S.STOPPED

        status, _, _ = await house.ask(asking(model="a"))

        assert (status, a.state, b.state) == (200, S.READY, S.STOPPED)


async def test_models_on_two_devices_do_not_lose_each_others_budget(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready(sized("a", 10, device=DeviceId("cuda:0")))
        await house.ready(sized("b", 10, device=DeviceId("cuda:1")))
        a = house.fleet.names.require("a")
        await house.fleet.stop(a.planned.model, "test")

        again = await house.ready(sized("a", 10, device=DeviceId("cuda:0")))

        assert again.refused is None


async def test_a_model_that_gave_way_while_it_restarted_is_no_longer_wanted(tmp_path: Path) -> None:
    async with a_house(tmp_path, "--fake-layers", "5/5") as house:
        a = house.serve(sized("a", 10))
        await is_in(a, S.BACKOFF)
        house.flags.clear()

        b = house.serve(sized("b", 10))

        await is_in(b, S.READY)
        assert (a.state, house.fleet.is_on_its_way(a)) == (S.STOPPED, False)


async def test_too_many_requests_are_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    async with a_house(tmp_path, max_requests=2) as house:
        hosted = await house.ready()
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(house.ask, asking(chunks=1, delay_s=1.0))
            await until(lambda: hosted.in_flight == 2, "both are served")

            status, headers, _ = await house.ask(asking())

    assert (status, headers["Retry-After"], headers["x-should-retry"]) == (429, "5", "true")
