"""What is wanted of a real child process before it is told to end, and when that is given up."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest

from localllm.events import InstanceId
from localllm.events import ModelState as S
from localllm.supervisor import messages as msg
from localllm.supervisor.bus import Subscription
from localllm.supervisor.lifecycle import RestartPolicy
from localllm.supervisor.runner import Runner
from localllm.supervisor.watching import Watched
from tests.integration.test_runner import PATIENT, POLICY, QWEN, ask, fake, started, states_until

pytestmark = pytest.mark.anyio


class Leave:
    """Taken of an engine that still answers, and noted; then it ends, fails or hangs."""

    def __init__(self, ends: str = "well") -> None:
        self.ends, self.answered, self.given_up = ends, list[int](), False
        self.begun = anyio.Event()
        self.runner: Runner | None = None

    async def __call__(self, instance: InstanceId) -> None:
        assert instance == QWEN.id
        assert self.runner is not None
        assert self.runner.spec is not None
        watched = Watched(self.runner.spec, 0, Path(), 0)
        self.answered.append(await ask("GET", watched, "/health"))
        self.begun.set()
        if self.ends == "fails":
            raise RuntimeError("no such slot")
        if self.ends == "hangs":
            try:
                await anyio.sleep_forever()
            finally:
                self.given_up = True


@asynccontextmanager
async def ready(
    tmp_path: Path, leave: Leave, policy: RestartPolicy = PATIENT, *flags: str
) -> AsyncIterator[tuple[Runner, Subscription]]:
    launch = partial(fake, *flags)
    async with started(tmp_path, launch, policy=policy, farewell=leave) as (runner, events):
        leave.runner = runner
        await states_until(events, S.READY)
        yield runner, events


@pytest.mark.parametrize("in_flight", [0, 1])
@pytest.mark.parametrize("ends", ["well", "fails"])
async def test_of_an_idle_engine_leave_is_taken_while_it_still_answers(
    tmp_path: Path, in_flight: int, ends: str
) -> None:
    leave = Leave(ends)
    async with ready(tmp_path, leave) as (runner, events):
        runner.tell(msg.StopAsked("test", in_flight))
        runner.tell(msg.Idle(1))
        await states_until(events, S.STOPPED)

    assert leave.answered == [200]
    assert runner.record.why == "test; killed by signal 15"


async def test_a_farewell_that_hangs_is_given_up_when_its_time_is_over(tmp_path: Path) -> None:
    leave = Leave("hangs")
    async with ready(tmp_path, leave, replace(PATIENT, farewell_s=0.2)) as (runner, events):
        runner.tell(msg.StopAsked("test", in_flight=0))
        await states_until(events, S.STOPPED)

    assert leave.given_up
    assert runner.record.why == "test; killed by signal 15"


async def test_an_engine_that_is_deaf_after_its_farewell_is_killed(tmp_path: Path) -> None:
    policy = replace(POLICY, farewell_s=60.0)
    async with ready(tmp_path, Leave(), policy, "--deaf") as (runner, events):
        runner.tell(msg.StopAsked("test", in_flight=0))
        await states_until(events, S.STOPPED)

    assert runner.record.why.startswith("test; killed by signal 9")


async def test_an_engine_that_dies_in_its_farewell_has_stopped(tmp_path: Path) -> None:
    leave = Leave("hangs")
    async with ready(tmp_path, leave) as (runner, events):
        runner.tell(msg.StopAsked("test", in_flight=0))
        await leave.begun.wait()
        os.kill(runner.record.pid or 0, signal.SIGKILL)

        assert await states_until(events, S.STOPPED) == [S.STOPPING, S.STOPPED]
    assert leave.given_up


@pytest.mark.parametrize("happened", [msg.Hung(1), msg.DeviceLost(1), None])
async def test_of_an_engine_that_hangs_lost_its_device_or_died_no_leave_is_taken(
    tmp_path: Path, happened: msg.Input | None
) -> None:
    leave = Leave()
    async with ready(tmp_path, leave, replace(PATIENT, max_crashes=1)) as (runner, events):
        if happened is None:
            os.kill(runner.record.pid or 0, signal.SIGKILL)
        else:
            runner.tell(happened)
        await states_until(events, S.FAILED)

    assert leave.answered == []


async def test_of_an_engine_that_is_busy_to_the_end_no_leave_is_taken(tmp_path: Path) -> None:
    leave = Leave()
    async with ready(tmp_path, leave) as (runner, events):
        runner.tell(msg.StopAsked("test", in_flight=1))
        await states_until(events, S.DRAINING)
        runner.tell(msg.TimedOut(1, runner.record.deadline or 0.0))
        await states_until(events, S.STOPPED)

    assert leave.answered == []


async def test_cancelling_waits_for_no_farewell_and_begins_none(tmp_path: Path) -> None:
    leave, other = Leave("hangs"), Leave()
    async with ready(tmp_path, leave) as (leaving, _), ready(tmp_path, other) as (staying, _):
        leaving.tell(msg.StopAsked("test", in_flight=0))
        await leave.begun.wait()

    assert (leave.given_up, other.answered) == (True, [])
    for runner in (leaving, staying):
        with pytest.raises(ProcessLookupError):
            os.kill(runner.record.pid or 0, 0)
