"""All instances of one daemon: who runs, who waits, who answers to which name.

One task applies what the scheduler decides, after every change of state. The gateway borrows
instances and gives them back; the control API asks for starts and stops.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from localllm.engine_client.client import EngineClient
from localllm.engines.base import Serving
from localllm.errors import ModelNotFound, NotReady, StartFailed, StillLoading
from localllm.events import DeviceId, InstanceId, Missed, StateChanged
from localllm.events import ModelState as S
from localllm.planning.planner import Planned
from localllm.supervisor import messages as msg
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.instance import Instance
from localllm.supervisor.routing import Routes, resolve, shift
from localllm.supervisor.runner import Runner
from localllm.supervisor.scheduler import HOLDS_MEMORY, Drain, Refuse, Serve, Start, Wait, decide
from localllm.supervisor.tools import Tools
from localllm.supervisor.watching import EngineProbe

_MAX_WAIT_S = 60.0
_AT_REST = frozenset({S.STOPPED, S.FAILED})
_UP = frozenset({S.STARTING, S.WARMING, S.READY, S.BACKOFF})


class Fleet:
    """Runs until cancelled; cancelling stops every engine before it returns."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._hosted: dict[InstanceId, Hosted] = {}
        self._routes: Routes = {}
        self._wanted: list[InstanceId] = []
        self._budget: Mapping[DeviceId, int] = {}
        self._tasks: TaskGroup | None = None
        self._closing = False

    async def run(self) -> None:
        with self._tools.bus.subscribe() as events:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                async for envelope in events:
                    match envelope.event:
                        case StateChanged(instance, new=new):
                            await self._look_at(instance, has_begun=new not in _AT_REST)
                        case Missed():
                            for hosted in self.instances():
                                await self._look_at(hosted.id, has_begun=True)
                    self._schedule()

    def instances(self) -> tuple[Hosted, ...]:
        return tuple(self._hosted.values())

    def find(self, name: str | None) -> Hosted | None:
        """Find who answers to a name: a model, an alias or an instance. None: the only one."""
        if name is None:
            return next(iter(self._hosted.values())) if len(self._hosted) == 1 else None
        instance = resolve(name, self._routes) or InstanceId(name)
        return self._hosted.get(instance)

    def held(self) -> dict[DeviceId, int]:
        """Bytes of each device that our instances took from what the probe calls usable."""
        total: dict[DeviceId, int] = {}
        for one in self._hosted.values():
            if one.state in HOLDS_MEMORY:
                for device, count in one.planned.need.items():
                    total[device] = total.get(device, 0) + count
        return total

    def serve(self, planned: Planned, serving: Serving) -> bool:
        """Ask for an instance to run; once ready it replaces others of its model.

        Returns:
            False if it was running, or on its way, already.
        """
        self._budget = planned.budget
        hosted = self._hosted.get(planned.instance) or self._add(planned, serving)
        hosted.retired = False
        before = self.find(planned.stored.id)
        if before is None or before.state is not S.READY:
            self._route_to(hosted)
        if hosted.state in _UP or hosted.granted or hosted.id in self._wanted:
            return False
        self._want(hosted)
        return True

    async def stop(self, hosted: Hosted, why: str) -> None:
        """Drain and stop one instance for good, and forget it."""
        self._retire(hosted, why)
        while hosted.id in self._hosted and hosted.retired:
            await hosted.changed.wait()

    async def close(self) -> None:
        """Take no more requests, let the running ones finish within the policy's time."""
        self._closing = True
        self._wanted.clear()
        for hosted in self._hosted.values():
            self._ask_to_stop(hosted, "the daemon stops")
            hosted.announce()
        for hosted in self.instances():
            while hosted.state not in _AT_REST or hosted.granted:
                await hosted.changed.wait()

    @asynccontextmanager
    async def borrow(self, name: str | None, wait_s: float) -> AsyncIterator[EngineClient]:
        """Use an instance for one request; while it loads or restarts, wait for it.

        Raises:
            ModelNotFound: Nobody answers to `name`.
            StartFailed: It has given up.
            StillLoading: It did not become ready in time.
            NotReady: It, or the daemon, is being stopped.
        """
        hosted = self.require(name)
        await self._wait_ready(hosted, wait_s)
        client = hosted.client(self._tools.connect)
        if client is None:
            raise _not_ready(hosted, "its process has just ended")
        hosted.in_flight += 1
        hosted.total += 1
        try:
            yield client
        finally:
            hosted.in_flight -= 1
            hosted.used_at = anyio.current_time()
            if not hosted.in_flight:
                hosted.runner.tell(msg.Idle(hosted.runner.record.run))

    def require(self, name: str | None) -> Hosted:
        """Find who answers to a name.

        Raises:
            ModelNotFound: Nobody does; it says who is served.
        """
        hosted = self.find(name)
        if hosted is not None:
            return hosted
        served = ", ".join(sorted({h.planned.stored.id for h in self._hosted.values()})) or "none"
        raise ModelNotFound(
            f"The model {name!r} is not served." if name else "The request names no model.",
            why=f"served now: {served}",
            fix=f"localllm up {name}" if name else 'add "model" to the request',
        )

    async def _wait_ready(self, hosted: Hosted, wait_s: float) -> None:
        hosted.waiting += 1
        try:
            with anyio.move_on_after(wait_s):
                while hosted.state is not S.READY or self._closing:
                    self._raise_if_hopeless(hosted)
                    await hosted.changed.wait()
                return
        finally:
            hosted.waiting -= 1
        raise StillLoading(
            f"{hosted.planned.stored.id} is still loading.",
            why=f"it is {hosted.state}, and did not get ready within {wait_s:.0f} s",
            fix="localllm status shows its progress",
        )

    def _raise_if_hopeless(self, hosted: Hosted) -> None:
        if self._closing or hosted.state is S.DRAINING:
            raise _not_ready(hosted, "it is being stopped")
        if hosted.state is S.FAILED or hosted.refused is not None:
            raise StartFailed(
                f"{hosted.planned.stored.id} could not be started.",
                why=hosted.refused or hosted.runner.record.why,
                fix=f"localllm logs {hosted.planned.stored.id}, then localllm up again",
            )
        if hosted.state is S.STOPPED and not hosted.granted and hosted.id not in self._wanted:
            self._want(hosted)  # it was evicted: whoever asks brings it back

    def _add(self, planned: Planned, serving: Serving) -> Hosted:
        facts = Instance(planned.instance, planned.model, planned.need)
        tools = self._tools
        log = tools.logs / f"{planned.instance.replace(':', '-')}.log"
        runner = Runner(
            facts,
            lambda: tools.launch(planned, serving),
            EngineProbe(serving, tools.connect),
            tools.bus,
            log,
            tools.policy,
        )
        hosted = Hosted(planned, runner, log, used_at=anyio.current_time())
        self._hosted[hosted.id] = hosted
        assert self._tasks is not None, "serve() is for a fleet that runs"
        self._tasks.start_soon(hosted.host)
        return hosted

    def _route_to(self, hosted: Hosted) -> None:
        for name in (hosted.planned.stored.id, *hosted.planned.stored.aliases):
            self._routes = shift(self._routes, name, to=hosted.id)

    def _want(self, hosted: Hosted) -> None:
        hosted.refused = None
        self._wanted.append(hosted.id)
        self._schedule()

    def _schedule(self) -> None:
        """Ask the scheduler for each that wants to run, the longest waiter first."""
        for wanted in list(self._wanted):
            hosted = self._hosted.get(wanted)
            if hosted is None or self._closing or self._granted(hosted):
                self._wanted.remove(wanted)

    def _granted(self, hosted: Hosted) -> bool:
        """Carry out one decision; True when there is nothing more to ask for."""
        residents = {h.id: h.as_resident() for h in self._hosted.values()}
        if hosted.state is S.FAILED:  # asked for again: as good as stopped
            residents[hosted.id] = replace(residents[hosted.id], state=S.STOPPED)
        decision = decide(hosted.id, self._budget, residents, waited_s=0.0, max_wait_s=_MAX_WAIT_S)
        match decision:
            case Start(evict=()):
                hosted.granted = True
                hosted.runner.tell(msg.StartAsked())
                return True
            case Start(evict) | Drain(evict):
                for one in evict:
                    self._ask_to_stop(self._hosted[one], f"makes room for {hosted.id}")
                return False
            case Refuse(why):
                hosted.refused = why
                hosted.announce()
                return True
            case Wait():
                return hosted.state in _UP
            case Serve():
                return True

    def _ask_to_stop(self, hosted: Hosted, why: str) -> None:
        hosted.runner.tell(msg.StopAsked(why, hosted.in_flight))

    def _retire(self, hosted: Hosted, why: str) -> None:
        hosted.retired = True
        if hosted.id in self._wanted:
            self._wanted.remove(hosted.id)
        self._ask_to_stop(hosted, why)
        if hosted.state is S.STOPPED and not hosted.granted:
            self._forget(hosted)

    def _forget(self, hosted: Hosted) -> None:
        hosted.scope.cancel()
        self._routes = {name: i for name, i in self._routes.items() if i != hosted.id}
        self._hosted.pop(hosted.id, None)
        hosted.announce()

    async def _look_at(self, instance: InstanceId, *, has_begun: bool) -> None:
        """Act on where an instance is now, which may be further than the news says.

        Args:
            has_begun: Its runner has got to the start that was granted, if one was.
        """
        hosted = self._hosted.get(instance)
        if hosted is None:
            return
        if has_begun:
            hosted.granted = False
        if hosted.state is S.READY:
            self._replace_others(hosted)
        elif hosted.state is S.STOPPED and hosted.retired and not hosted.granted:
            self._forget(hosted)
        hosted.announce()
        old = hosted.take_old_client()
        if old is not None:
            await old.aclose()

    def _replace_others(self, ready: Hosted) -> None:
        """Shift the model's requests to the one that has got ready; the older one drains."""
        if ready.retired:
            return
        self._route_to(ready)
        for other in self.instances():
            if other is not ready and other.planned.stored.id == ready.planned.stored.id:
                self._retire(other, f"replaced by {ready.id}")


def _not_ready(hosted: Hosted, why: str) -> NotReady:
    return NotReady(
        f"{hosted.planned.stored.id} is not ready.",
        why=why,
        fix="localllm status shows its progress",
    )
