"""The machine is looked at more often while somebody watches, and nothing else comes of that."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from localllm.events import DeviceId, ModelState
from localllm.hardware.machine import Device, DeviceKind
from localllm.hardware.vitals import DeviceVitals, Pressure, Vitals
from localllm.hardware.worked import Worked
from localllm.planning.planner import Planned
from localllm.supervisor.glances import Glances
from localllm.supervisor.machine_watch import MachineWatch
from tests.fakes.house import CALM, DEADLINE_S, House, a_house, a_plan

pytestmark = pytest.mark.anyio

CARD = Device(DeviceId("cuda:0"), DeviceKind.CUDA, "card", "NVML", uuid="GPU-1")
SHORT = replace(CALM, pressure=Pressure.CRITICAL, pressure_why="none is left")


def on_a_card() -> Planned:
    planned = a_plan()
    [placed] = planned.plan.placement
    plan = replace(planned.plan, placement=(replace(placed, device=CARD.id, layers=1),))
    choice = replace(planned.choice, devices=(CARD,))
    return replace(planned, plan=plan, choice=choice)


async def until(seen: Callable[[], bool]) -> None:
    with anyio.fail_after(DEADLINE_S):
        while not seen():
            await anyio.sleep(0.002)


def a_watch(house: House, look: Any) -> MachineWatch:
    return MachineWatch(house.fleet, look, lambda: 0.0, every_s=3600.0)


@asynccontextmanager
async def glancing(watch: MachineWatch, stays_s: float = 60.0) -> AsyncIterator[Glances]:
    glances = Glances(watch, every_s=0.005, stays_s=stays_s)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(glances.run)
        yield glances
        tasks.cancel_scope.cancel()


async def test_nobody_asks_nobody_looks_and_a_while_after_the_last_ask_it_ends(
    tmp_path: Path,
) -> None:
    looks = list[Sequence[Device]]()

    def look(devices: Sequence[Device], _: Vitals | None) -> Vitals:
        looks.append(devices)
        return CALM

    async with a_house(tmp_path) as house, glancing(a_watch(house, look), stays_s=0.2) as glances:
        await anyio.wait_all_tasks_blocked()
        assert not looks
        glances.wanted([CARD])
        await until(lambda: len(looks) > 2)
        assert list(looks[0]) == [CARD], "also what no model uses"

        await anyio.wait_all_tasks_blocked()
        await until(lambda: anyio.current_time() > glances._until)
        await anyio.sleep(0.05)
        ended = len(looks)
        await anyio.sleep(0.05)
        assert len(looks) == ended

        glances.wanted([CARD])
        await until(lambda: len(looks) > ended)


async def test_a_card_whose_model_was_unloaded_is_left_alone_so_that_it_can_sleep(
    tmp_path: Path,
) -> None:
    looks = list[Sequence[Device]]()

    def look(devices: Sequence[Device], _: Vitals | None) -> Vitals:
        looks.append(devices)
        return CALM

    async with a_house(tmp_path) as house:
        hosted = await house.ready()
        hosted.planned = on_a_card()
        watch = a_watch(house, look)
        await watch.turn()
        house.fleet.unload(hosted, "nobody asks")
        await until(lambda: hosted.state is ModelState.STOPPED)
        for _ in range(2):
            await watch.turn()

    assert looks == [[CARD], [CARD], []], "once more, for what it used until it was unloaded"


async def test_what_is_seen_is_shown_and_not_acted_upon(tmp_path: Path) -> None:
    lost = DeviceVitals(lost="gone", memory_free=None, throttled="hot", temperature_c=99)
    seen = replace(SHORT, devices={CARD.id: lost})
    async with a_house(tmp_path) as house:
        hosted = await house.ready()
        watch = a_watch(house, lambda *_: seen)
        async with glancing(watch) as glances:
            glances.wanted([CARD])
            await until(lambda: watch.vitals is seen)

        assert (watch.warnings, watch.throttled, house.fleet.lost) == ((), {}, {})
        assert hosted.takes_requests(), "it is idle, and would be unloaded for this pressure"


async def test_a_look_that_hangs_is_the_only_one_and_a_turn_waits_for_a_glance(
    tmp_path: Path,
) -> None:
    goes_on, begun = threading.Event(), list[int]()

    def look(devices: Sequence[Device], _: Vitals | None) -> Vitals:
        begun.append(len(devices))
        assert goes_on.wait(DEADLINE_S)
        return CALM

    async with a_house(tmp_path) as house:
        watch = a_watch(house, look)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.glance, [CARD])
            await until(lambda: begun == [1])
            await watch.glance([CARD])
            tasks.start_soon(watch.turn)
            await anyio.wait_all_tasks_blocked()
            assert begun == [1]

            goes_on.set()
        assert begun == [1, 0], "the turn was not left out"


async def test_a_glance_counts_heat_since_the_turn_and_work_since_the_glance_before(
    tmp_path: Path,
) -> None:
    befores = list[Vitals | None]()

    def look(_: Sequence[Device], before: Vitals | None) -> Vitals:
        befores.append(before)
        number = len(befores)
        return replace(CALM, throttle_count=number, worked=Worked(number, number))

    async with a_house(tmp_path) as house:
        watch = a_watch(house, look)
        await watch.glance([CARD])
        await watch.turn()
        await watch.glance([CARD])
        await watch.glance([CARD])
        await watch.turn()

    told = [None if b is None else (b.throttle_count, b.worked) for b in befores]
    turn, glance = Worked(2, 2), Worked(3, 3)
    assert told == [None, None, (2, Worked(1, 1)), (2, glance), (2, turn)]
