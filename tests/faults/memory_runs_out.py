"""Memory that runs out, for an engine or for the whole computer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import psutil

from localllm.events import ModelState as S
from localllm.fit.plan import Memory
from localllm.hardware.machine import Device
from localllm.hardware.vitals import Pressure, Vitals
from localllm.planning.planner import Planned
from localllm.supervisor.machine_watch import MachineWatch
from localllm.units import MIB
from tests.fakes.house import CALM, House, a_house, a_plan, asking
from tests.fakes.installation import Installation
from tests.faults.asking import answered_after, ask
from tests.faults.fault import Fault, Kept, Outcome, kept, lost_since
from tests.faults.killing import kill
from tests.faults.place import Place

QUICK = "[supervision]\nmax_crashes = 2\nbackoff_first_s = 0.1\n"
SMALLER = '[supervision]\nmax_crashes = 2\nafter_out_of_memory = "smaller"\n'
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""So that an engine reserves as much at every start."""

TOO_LITTLE_BYTES = 40 * MIB
"""Under what a start has taken: half the context needs 90 MiB less."""

WHY = "0.3 GiB of 16.0 GiB of memory is available"
HEAVY_BYTES = 100 * MIB


def out_of_memory(place: Place) -> Outcome:
    here = place.install(QUICK, **ONE_ARENA)
    here.ok("up")
    before = kept(here)
    take_memory_away(here)

    kill(here)
    refused = ask(here)

    assert refused.status == 503, refused
    error = here.model()["error"]
    assert "run out of memory" in error["reason"], error
    assert "--context" in error["fix"], error
    at = time.monotonic()
    here.ok("up", "--context", "4096")
    ready = answered_after(here, at)
    log = (here.state / "logs" / "daemon.log").read_text()
    assert "memory ran out: it is started again" not in log, "nobody has allowed it to be smaller"
    saw = "503 `start_failed`; `status` says that memory ran out; cured by `up --context 4096`"
    return Outcome(saw, lost_since(but_for_the_context(before, here), here), ready)


def out_of_memory_and_served_with_less(place: Place) -> Outcome:
    here = place.install(SMALLER, **ONE_ARENA)
    here.ok("up")
    before = kept(here)
    take_memory_away(here)

    at = kill(here)
    ready = answered_after(here, at)

    assert here.model()["context"] == 4096, here.model()
    lost = lost_since(but_for_the_context(before, here), here)
    return Outcome("its next request waits and is answered, with half the context", lost, ready)


def take_memory_away(here: Installation) -> None:
    """Let the next engines have less address space than this one took."""
    size = psutil.Process(here.model()["pid"]).memory_info().vms - TOO_LITTLE_BYTES
    psutil.Process(here.daemon_file()["pid"]).rlimit(psutil.RLIMIT_AS, (size, size))


def but_for_the_context(before: Kept, here: Installation) -> Kept:
    """Leave out what is to be served again: with half the context, as was asked for."""
    return replace(before, remembered=kept(here).remembered)


def memory_pressure(place: Place) -> Outcome:
    return anyio.run(_memory_pressure, place.folder())


async def _memory_pressure(folder: Path) -> Outcome:
    async with a_house(folder) as house:
        idle, busy, pinned = [await house.ready(heavy(n)) for n in ("idle", "busy", "pinned")]
        pinned.pinned = True
        watch = MachineWatch(house.fleet, critical, lambda: 0.0, every_s=3600.0)
        async with anyio.create_task_group() as tasks:
            answers: list[bytes] = []
            tasks.start_soon(partial(answer_slowly, house, answers))
            await house.until("delay_s")

            await watch.turn()

            with anyio.fail_after(10):
                while idle.state is not S.STOPPED:
                    await idle.changed.wait()
            assert (busy.state, pinned.state) == (S.READY, S.READY)
            assert watch.warnings == (f"memory: {WHY}",)
        assert b'"completion_tokens": 3' in answers[0], "the busy one has finished its answer"
        at = time.monotonic()
        status, _, body = await house.ask(asking(model="idle"))
        assert status == 200, body
        saw = "the busy and the pinned model answer on; the idle one is unloaded and comes back"
        return Outcome(saw, ready_after_s=time.monotonic() - at)


def critical(_devices: Sequence[Device], _before: Vitals | None) -> Vitals:
    return replace(CALM, pressure=Pressure.CRITICAL, pressure_why=WHY)


async def answer_slowly(house: House, answers: list[bytes]) -> None:
    _, _, body = await house.ask(asking(model="busy", delay_s=1.0))
    answers.append(body)


def heavy(model: str) -> Planned:
    """Plan a model that unloading would be worth while."""
    planned = a_plan(model, f"{model}-alias")
    (part,) = planned.plan.placement
    memory = Memory(weights=HEAVY_BYTES, kv_cache=1, compute=1, output=1)
    return replace(planned, plan=replace(planned.plan, placement=(replace(part, memory=memory),)))


FAULTS = (
    Fault(
        "out of memory",
        "RLIMIT_AS under what the engine took, then SIGKILL",
        out_of_memory,
        linux_only=True,
    ),
    Fault(
        'the same with `after_out_of_memory = "smaller"`',
        "RLIMIT_AS under what the engine took, then SIGKILL",
        out_of_memory_and_served_with_less,
        linux_only=True,
    ),
    Fault("memory pressure", "the look at the machine is an argument", memory_pressure),
)
