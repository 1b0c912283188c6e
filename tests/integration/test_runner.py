"""A real child process through its whole life."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest

from localllm.engines.base import Endpoint, LaunchSpec
from localllm.events import DeviceId, InstanceId, ModelId, StateChanged
from localllm.events import ModelState as S
from localllm.supervisor import messages as msg
from localllm.supervisor.bus import EventBus, Subscription
from localllm.supervisor.instance import Instance
from localllm.supervisor.lifecycle import RestartPolicy
from localllm.supervisor.runner import Farewell, Runner
from localllm.supervisor.watching import Watched

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
FAKE = ROOT / "tests" / "fakes" / "fake_backend.py"
QWEN = Instance(InstanceId("qwen:q4"), ModelId("qwen"), {DeviceId("host"): 1})
POLICY = RestartPolicy(
    health_attempt_s=1.0, drain_timeout_s=0.3, stop_grace_s=0.5, backoff_first_s=0.1, max_crashes=2
)
PATIENT = replace(POLICY, stop_grace_s=60.0, drain_timeout_s=60.0)
UP = [S.STARTING, S.WARMING, S.READY]


async def ask(method: str, watched: Watched, path: str) -> int:
    port = watched.spec.endpoint.port
    assert port is not None
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(f"{method} {path} HTTP/1.0\r\n\r\n".encode())
        return int((await stream.receive()).split()[1])


class HttpProbe:
    async def healthy(self, watched: Watched) -> bool:
        try:
            return await ask("GET", watched, "/health") == 200
        except (OSError, anyio.EndOfStream):
            return False

    async def warm_up(self, watched: Watched) -> None:
        assert await ask("POST", watched, "/v1/chat/completions") == 200

    def progress(self, watched: Watched) -> int | None:
        return None


class Loading(HttpProbe):
    """Reads one byte per look, and is up after 20."""

    read_bytes = 0

    async def healthy(self, watched: Watched) -> bool:
        return self.read_bytes >= 20 and await super().healthy(watched)

    def progress(self, watched: Watched) -> int | None:
        self.read_bytes += 1
        return self.read_bytes


class Sick(HttpProbe):
    """Raises in one place, or hangs there once."""

    def __init__(self, where: str, *, hangs: bool = False) -> None:
        self.where, self.hangs = where, hangs

    async def _maybe(self, where: str) -> None:
        if self.where == where:
            if not self.hangs:
                raise RuntimeError("no such route")
            self.where = "cured"
            await anyio.sleep_forever()

    async def healthy(self, watched: Watched) -> bool:
        await self._maybe("health check")
        return await super().healthy(watched)

    async def warm_up(self, watched: Watched) -> None:
        await self._maybe("warm-up")
        await super().warm_up(watched)


def fake(*flags: str, exe: str = sys.executable, deadline_s: float = 15.0) -> LaunchSpec:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    argv = [exe, str(FAKE), str(port), *flags]
    env = {"PYTHONPATH": str(ROOT)}
    return LaunchSpec(argv, Endpoint(port=port), deadline_s, env=env)


def no_port() -> LaunchSpec:
    raise ValueError("no free port")


@asynccontextmanager
async def started(
    tmp_path: Path,
    launch: Callable[[], LaunchSpec] = fake,
    *,
    probe: HttpProbe | None = None,
    policy: RestartPolicy = POLICY,
    farewell: Farewell | None = None,
) -> AsyncIterator[tuple[Runner, Subscription]]:
    bus = EventBus()
    runner = Runner(QWEN, launch, probe or HttpProbe(), bus, tmp_path / "qwen.log", policy)
    runner.farewell = farewell
    with bus.subscribe() as events:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            runner.tell(msg.StartAsked())
            yield runner, events
            tasks.cancel_scope.cancel()


async def states_until(events: Subscription, last: S) -> list[S]:
    seen: list[S] = []
    with anyio.fail_after(15.0):
        async for envelope in events:
            if isinstance(envelope.event, StateChanged):
                seen.append(envelope.event.new)
                if envelope.event.new is last:
                    break
    return seen


async def test_starts_warms_serves_drains_and_stops(tmp_path: Path) -> None:
    async with started(tmp_path, partial(fake, "--load", "0.3")) as (runner, events):
        assert await states_until(events, S.READY) == UP

        runner.tell(msg.StopAsked("test", in_flight=1))
        assert await states_until(events, S.STOPPED) == [S.DRAINING, S.STOPPING, S.STOPPED]


async def test_a_stop_right_after_a_start_does_not_wait_for_the_kill(tmp_path: Path) -> None:
    async with started(tmp_path, policy=PATIENT) as (runner, events):
        runner.tell(msg.StopAsked("test", in_flight=0))

        assert await states_until(events, S.STOPPED) == [S.STARTING, S.STOPPING, S.STOPPED]
        assert runner.record.why == "test; killed by signal 15"


async def test_restarts_after_a_crash_and_keeps_the_log(tmp_path: Path) -> None:
    async with started(tmp_path) as (runner, events):
        await states_until(events, S.READY)
        os.kill(runner.record.pid or 0, signal.SIGKILL)

        assert await states_until(events, S.READY) == [S.BACKOFF, *UP]
    assert (tmp_path / "qwen.log").read_text() == "up\n" * 2


@pytest.mark.parametrize(
    ("launch", "probe", "why"),
    [
        (no_port, HttpProbe(), "start: no free port; never ran"),
        (
            partial(fake, exe="/nonexistent"),
            HttpProbe(),
            "start: no such program, or not executable: /nonexistent; never ran",
        ),
        (
            partial(fake, "--load", "60", deadline_s=0.3),
            HttpProbe(),
            "too long in starting; killed by signal 15",
        ),
        (fake, Sick("health check"), "health check: no such route; killed by signal 15"),
        (fake, Sick("warm-up"), "warm-up: no such route; killed by signal 15"),
        (partial(fake, "--load", "60", "--die-after", "0.05"), HttpProbe(), "exited with 3"),
        (partial(fake, "--fragile"), HttpProbe(), "exited with 3"),
    ],
    ids=[
        "launch raises",
        "no program",
        "hangs",
        "probe raises",
        "warm-up raises",
        "dies",
        "dies in it",
    ],
)
async def test_a_start_that_fails_is_tried_again_given_up_and_explained(
    tmp_path: Path, launch: Callable[[], LaunchSpec], probe: HttpProbe, why: str
) -> None:
    async with started(tmp_path, launch, probe=probe) as (runner, events):
        seen = await states_until(events, S.FAILED)

    assert [state for state in seen if state not in {S.WARMING, S.STOPPING}] == [
        S.STARTING,
        S.BACKOFF,
        S.STARTING,
        S.FAILED,
    ]
    assert runner.record.why.endswith(why)


async def test_a_load_that_gets_on_may_take_longer_than_its_deadline(tmp_path: Path) -> None:
    async with started(tmp_path, partial(fake, deadline_s=1.5), probe=Loading()) as (_, events):
        assert await states_until(events, S.READY) == UP


class Slow(HttpProbe):
    """Takes longer for the first chat than the deadline, but computes all the while."""

    computed = 0

    async def warm_up(self, watched: Watched) -> None:
        while self.computed < 20:
            await anyio.sleep(0.05)
        await super().warm_up(watched)

    def progress(self, watched: Watched) -> int | None:
        self.computed += 1
        return self.computed


async def test_a_warm_up_that_gets_on_may_take_longer_than_its_deadline(tmp_path: Path) -> None:
    async with started(tmp_path, partial(fake, deadline_s=1.5), probe=Slow()) as (_, events):
        assert await states_until(events, S.READY) == UP


class Dying(HttpProbe):
    """Loses the connection a while before the process is known to have died."""

    async def warm_up(self, watched: Watched) -> None:
        asyncio.get_running_loop().call_later(0.2, os.kill, watched.pid, signal.SIGKILL)
        raise RuntimeError("Server disconnected")


async def test_of_an_engine_that_dies_in_its_first_chat_the_exit_is_told(tmp_path: Path) -> None:
    policy = replace(POLICY, max_crashes=1)
    async with started(tmp_path, probe=Dying(), policy=policy) as (runner, events):
        await states_until(events, S.FAILED)

    assert "killed by signal 9" in runner.record.why
    assert "disconnected" not in runner.record.why


async def test_a_first_chat_that_never_ends_though_the_engine_computes_is_given_up(
    tmp_path: Path,
) -> None:
    policy = replace(POLICY, warm_up_attempt_s=0.1, max_crashes=1)
    slow = Slow()
    slow.computed = -10_000
    async with started(tmp_path, probe=slow, policy=policy) as (runner, events):
        await states_until(events, S.FAILED)

    assert "no answer within" in runner.record.why


@pytest.mark.parametrize("where", ["health check", "warm-up"])
async def test_an_attempt_that_hangs_is_given_up_and_made_again(tmp_path: Path, where: str) -> None:
    policy = replace(POLICY, health_attempt_s=0.5, warm_up_attempt_s=0.5)
    async with started(tmp_path, probe=Sick(where, hangs=True), policy=policy) as (_, events):
        assert await states_until(events, S.READY) == UP


async def test_kills_a_deaf_child(tmp_path: Path) -> None:
    async with started(tmp_path, partial(fake, "--deaf")) as (runner, events):
        await states_until(events, S.READY)
        runner.tell(msg.StopAsked("test", in_flight=0))
        await states_until(events, S.STOPPED)
        assert runner.record.why.startswith("test; killed by signal 9")


async def test_telling_never_raises_and_loses_nothing_that_matters(tmp_path: Path) -> None:
    async with started(tmp_path, policy=PATIENT) as (runner, events):
        for _ in range(1000):
            runner.tell(msg.Idle(9))
            runner.tell(msg.Hung(9))
        runner.tell(msg.StopAsked("test", in_flight=0))

        assert await states_until(events, S.STOPPED) == [S.STARTING, S.STOPPING, S.STOPPED]
    runner.tell(msg.StopAsked("nobody runs any more", in_flight=0))


async def test_cancelling_leaves_no_child(tmp_path: Path) -> None:
    async with started(tmp_path, partial(fake, "--deaf")) as (runner, events):
        await states_until(events, S.READY)
    with pytest.raises(ProcessLookupError):
        os.kill(runner.record.pid or 0, 0)
