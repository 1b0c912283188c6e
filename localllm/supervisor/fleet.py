"""All instances of one daemon: who runs, who waits, who answers to which name.

One task applies what the scheduler decides, after every change of state. The gateway borrows
instances and gives them back; the control API asks for starts and stops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from localllm.engine_client.client import EngineClient
from localllm.engines.base import Serving
from localllm.errors import ModelNotFound
from localllm.events import DeviceId, InstanceId, Missed, ModelId, StateChanged
from localllm.events import ModelState as S
from localllm.planning.planner import Planned
from localllm.supervisor import messages as msg
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.instance import Instance
from localllm.supervisor.routing import Routes, resolve, shift
from localllm.supervisor.runner import Runner
from localllm.supervisor.scheduler import Drain, Refuse, Serve, Start, Wait, decide
from localllm.supervisor.tools import Tools
from localllm.supervisor.watching import EngineProbe

_MAX_WAIT_S = 60.0
"""After this a model that waits has the least recently used busy one drained."""

_ASK_AGAIN_S = 1.0
_AT_REST = frozenset({S.STOPPED, S.FAILED})
_UP = frozenset({S.STARTING, S.WARMING, S.READY, S.BACKOFF})
_TAKES_MEMORY = frozenset({S.WARMING, S.READY, S.DRAINING, S.STOPPING})


class Fleet:
    """Runs until cancelled; cancelling stops every engine before it returns."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._hosted: dict[InstanceId, Hosted] = {}
        self._routes: Routes = {}
        self._wanted: dict[InstanceId, float] = {}
        """Since when, the longest first."""

        self._budget: Mapping[DeviceId, int] = {}
        self._tasks: TaskGroup | None = None
        self._asks = 0
        self.closing = False

    async def run(self) -> None:
        with self._tools.bus.subscribe() as events:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._ask_again)
                async for envelope in events:
                    match envelope.event:
                        case StateChanged(instance, new=new):
                            await self._look_at(instance, has_begun=new not in _AT_REST)
                        case Missed():
                            for hosted in self.instances():
                                await self._look_at(hosted.id, has_begun=True)
                    self.schedule()

    async def _ask_again(self) -> None:
        """Let time pass for those who wait: whom it starves may have others drained."""
        while True:
            await anyio.sleep(_ASK_AGAIN_S)
            self.schedule()

    def instances(self) -> tuple[Hosted, ...]:
        return tuple(self._hosted.values())

    def find(self, name: str | None) -> Hosted | None:
        """Find who answers to a name: a model, an alias or an instance. None: the only model."""
        if name is None:
            models = {hosted.planned.model for hosted in self._hosted.values()}
            return self.find(next(iter(models))) if len(models) == 1 else None
        instance = resolve(name, self._routes) or InstanceId(name)
        return self._hosted.get(instance)

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

    def is_on_its_way(self, hosted: Hosted) -> bool:
        """Tell whether it serves, or will without being asked again."""
        comes = hosted.granted or hosted.id in self._wanted
        return (comes or (hosted.state in _UP and not hosted.leaving)) and not hosted.retired

    def held(self) -> dict[DeviceId, int]:
        """Bytes of each device that our instances took from what the probe calls usable.

        Without the cache of earlier prompts, which fills up over time, and without those that
        have taken nothing yet.
        """
        total: dict[DeviceId, int] = {}
        for one in self._hosted.values():
            if one.state in _TAKES_MEMORY:
                for device, count in one.planned.plan.need.items():
                    total[device] = total.get(device, 0) + count
        return total

    def serve(self, planned: Planned, serving: Serving) -> tuple[Hosted, bool]:
        """Ask for an instance to run; once ready it replaces others of its model.

        Until then the one that is ready goes on serving; those that are not make way at once.

        Returns:
            The instance, and whether it had to be started.
        """
        self._budget = {**self._budget, **planned.budget}
        hosted = self._same(planned, serving) or self._add(planned, serving)
        self._asks += 1
        hosted.asked = self._asks
        others = self._others(hosted)
        if not any(other.state is S.READY for other in others):
            self._route_to(hosted)
        for other in others:
            if other.state is not S.READY:
                self._retire(other, f"replaced by {hosted.id}")
        if self.is_on_its_way(hosted):
            if hosted.state is S.READY:
                self._replace_others(hosted)
            return hosted, False
        hosted.retired = False
        self.want(hosted)
        return hosted, True

    def client_of(self, hosted: Hosted) -> EngineClient | None:
        """How to talk to its process; None when there is none."""
        return hosted.client(self._tools.connect)

    async def stop(self, model: ModelId, why: str) -> list[InstanceId]:
        """Drain and stop every instance of a model for good, and forget them."""
        stopped = [hosted for hosted in self.instances() if hosted.planned.model == model]
        for hosted in stopped:
            self._retire(hosted, why)
        for hosted in stopped:
            while self._hosted.get(hosted.id) is hosted and hosted.retired:
                await hosted.changed.wait()
        return [hosted.id for hosted in stopped]

    async def close(self) -> None:
        """Take no more requests, let the running ones finish within the policy's time."""
        self.closing = True
        self._wanted.clear()
        for hosted in self._hosted.values():
            self._ask_to_stop(hosted, "the daemon stops")
            hosted.announce()
        for hosted in self.instances():
            while hosted.state not in _AT_REST or hosted.granted:
                await hosted.changed.wait()

    def _same(self, planned: Planned, serving: Serving) -> Hosted | None:
        """Find the instance that is exactly this: the file, the engine and all its settings."""
        key = _key(planned, serving)
        same = (h for h in self._hosted.values() if _key(h.planned, h.serving) == key)
        return next(same, None)

    def _others(self, hosted: Hosted) -> list[Hosted]:
        model = hosted.planned.model
        return [h for h in self.instances() if h is not hosted and h.planned.model == model]

    def _add(self, planned: Planned, serving: Serving) -> Hosted:
        instance, number = planned.instance, 1
        while instance in self._hosted:  # another file, or the same with other settings
            number += 1
            instance = InstanceId(f"{planned.instance}:{number}")
        facts = Instance(instance, planned.model, planned.need)
        tools = self._tools
        log = tools.logs / f"{instance.replace(':', '-')}.log"
        runner = Runner(
            facts,
            lambda: tools.launch(planned, serving),
            EngineProbe(serving, tools.connect, lambda measured: tools.record(planned, measured)),
            tools.bus,
            log,
            tools.policy,
        )
        hosted = Hosted(planned, serving, runner, log, used_at=anyio.current_time())
        self._hosted[hosted.id] = hosted
        assert self._tasks is not None, "serve() is for a fleet that runs"
        self._tasks.start_soon(hosted.host)
        return hosted

    def _route_to(self, hosted: Hosted) -> None:
        for name in (hosted.planned.stored.id, *hosted.planned.stored.aliases):
            self._routes = shift(self._routes, name, to=hosted.id)
        for other in self._others(hosted):
            other.announce()  # who waits for it looks at the route again

    def want(self, hosted: Hosted) -> None:
        """Have it started as soon as the memory is there."""
        hosted.refused = None
        self._wanted.setdefault(hosted.id, anyio.current_time())
        self.schedule()

    def schedule(self) -> None:
        """Ask the scheduler for each that wants to run, the longest waiter first."""
        for wanted in list(self._wanted):
            hosted = self._hosted.get(wanted)
            if hosted is None or self.closing or self._granted(hosted):
                self._wanted.pop(wanted, None)

    def _granted(self, hosted: Hosted) -> bool:
        """Carry out one decision; True when there is nothing more to ask for."""
        residents = {h.id: h.as_resident() for h in self._hosted.values()}
        if hosted.state is S.FAILED:  # asked for again: as good as stopped
            residents[hosted.id] = replace(residents[hosted.id], state=S.STOPPED)
        waited_s = anyio.current_time() - self._wanted[hosted.id]
        decision = decide(
            hosted.id, self._budget, residents, waited_s=waited_s, max_wait_s=_MAX_WAIT_S
        )
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
                return hosted.state in _UP and not hosted.leaving
            case Serve():
                return True

    def _ask_to_stop(self, hosted: Hosted, why: str) -> None:
        hosted.leaving = hosted.state not in _AT_REST or hosted.granted
        hosted.runner.tell(msg.StopAsked(why, hosted.in_flight))

    def _retire(self, hosted: Hosted, why: str) -> None:
        hosted.retired = True
        self._wanted.pop(hosted.id, None)
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
        if hosted.state is not S.READY:
            hosted.leaving = False
        if hosted.state is S.READY:
            self._replace_others(hosted)
        elif hosted.state is S.STOPPED and hosted.retired and not hosted.granted:
            self._forget(hosted)
        hosted.announce()
        old = hosted.take_old_client()
        if old is not None:
            await old.aclose()

    def _replace_others(self, ready: Hosted) -> None:
        """Shift the model's requests to the one that has got ready; older ones drain.

        One that was asked for later stays: this one has only come back, or was slower.
        """
        if ready.retired:
            return
        older = [other for other in self._others(ready) if other.asked < ready.asked]
        if len(older) == len(self._others(ready)):
            self._route_to(ready)
        for other in older:
            self._retire(other, f"replaced by {ready.id}")


def _key(planned: Planned, serving: Serving) -> tuple[object, ...]:
    """What makes two instances the same. The rest follows from what is free at the moment."""
    installed = planned.choice.installed
    settings = replace(serving, host_cache_bytes=0, silence_s=0.0)
    return installed.engine, tuple(installed.program), installed.version, settings
