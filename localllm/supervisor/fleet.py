"""All instances of one daemon: who runs, and who answers to which name.

One task acts on every change of state. The gateway borrows instances and gives them back; the
control API asks for starts and stops. Who gets the memory is decided in grants.py, who takes
over from whom is kept in succession.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from localllm.engine_client.client import EngineClient
from localllm.engines.base import Serving
from localllm.events import (
    Decided,
    DeviceId,
    InstanceId,
    Missed,
    ModelId,
    PullChanged,
    PullMoved,
    StateChanged,
    Topic,
)
from localllm.events import ModelState as S
from localllm.planning.planner import Planned
from localllm.supervisor.grants import AT_REST, UP, Grants
from localllm.supervisor.hosted import Hosted, Terms
from localllm.supervisor.kin import others_of, replaced_by
from localllm.supervisor.names import Names
from localllm.supervisor.new_instance import is_same, make_instance, unless_lost
from localllm.supervisor.starts import Starts
from localllm.supervisor.succession import Successions
from localllm.supervisor.tools import Tools

_ASK_AGAIN_S = 1.0


class Fleet:
    """Runs until cancelled; cancelling stops every engine before it returns."""

    def __init__(self, tools: Tools) -> None:
        self.lost: dict[DeviceId, str] = {}
        """Devices that do not answer any more, and why."""

        self.tools = replace(tools, launch=unless_lost(tools.launch, self.lost))
        """Replaced where the settings change, see retuning.py."""

        self._hosted: dict[InstanceId, Hosted] = {}
        self._successions = Successions()
        self.grants = Grants(self._hosted, self._successions, tools.bus)
        self._starts = Starts(self._hosted, self.grants, tools)
        self.names = Names(self._hosted)
        self._tasks: TaskGroup | None = None
        self._asks = 0
        self.when_one_ends: Callable[[Hosted], None] = lambda _: None
        """Told of each that has ended by a crash, before those who wait for it are."""

    @property
    def closing(self) -> bool:
        return self.grants.closing

    async def run(self) -> None:
        with self.tools.bus.subscribe() as events:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._ask_again)
                async for envelope in events:
                    match envelope.event:
                        case StateChanged(instance):
                            await self._look_at(instance)
                        case Missed():
                            for hosted in self.instances():
                                await self._look_at(hosted.id)
                        case Decided(Topic.REFUSED, instance=refused):
                            self._restore(refused)
                        case Decided() | PullChanged() | PullMoved():
                            continue
                    self.grants.schedule()

    async def _ask_again(self) -> None:
        """Let time pass for those who wait: whom it starves may have others drained."""
        while True:
            await anyio.sleep(_ASK_AGAIN_S)
            self.grants.schedule()
            for hosted in self.instances():
                hosted.admit()

    def instances(self) -> tuple[Hosted, ...]:
        return tuple(self._hosted.values())

    def is_on_its_way(self, hosted: Hosted) -> bool:
        """Tell whether it serves, or will without being asked again."""
        comes = hosted.granted or hosted.reading or self.grants.is_wanted(hosted.id)
        restarts = hosted.state is S.STOPPING and hosted.runner.record.crashed
        up = hosted.state in UP or restarts
        return (comes or (up and not hosted.leaving)) and not hosted.retired

    def successor_of(self, hosted: Hosted) -> Hosted | None:
        """Find who is about to take over from it."""
        new = self._successions.successor_of(hosted.id)
        successor = None if new is None else self._hosted.get(new)
        return successor if successor is not None and self.is_on_its_way(successor) else None

    def serve(
        self, planned: Planned, serving: Serving, terms: Terms | None = None
    ) -> tuple[Hosted, bool]:
        """Ask for an instance to run; once ready it takes over from others.

        Until then those that are ready go on serving; of its own model, those that are not make
        way at once.

        Returns:
            The instance, and whether it had to be started.
        """
        terms = terms or Terms()
        self.grants.budget.update(planned.budget)
        hosted = self._find_or_add(planned, serving, terms)
        if self.prefer(hosted, terms):
            return hosted, False
        hosted.retired = hosted.dismissed = False
        self.start(hosted)
        return hosted, True

    def prefer(self, hosted: Hosted, terms: Terms) -> bool:
        """Make an instance the one that is wanted of its model.

        Returns:
            Whether it is on its way already.
        """
        self._asks += 1
        hosted.asked, hosted.terms = self._asks, terms
        others = others_of(hosted, self.instances())
        if not any(other.state is S.READY for other in others):
            self._route_to(hosted)
        for other in others:
            if other.state is not S.READY:
                self.retire(other, f"replaced by {hosted.id}")
        replaced = replaced_by(hosted, self.instances(), self.names.current)
        hosted.replaces = frozenset(h.planned.model for h in replaced)
        self._successions.begin(hosted.id, (h.id for h in replaced))
        if not self.is_on_its_way(hosted):
            return False
        if hosted.state is S.READY:
            self._take_over(hosted)
        return True

    def start(self, hosted: Hosted) -> None:
        """Have it started as soon as the memory is there."""
        if not hosted.retired and not self.closing:
            assert self._tasks is not None, "there are instances while it runs"
            self._starts.start(hosted, self._tasks)

    async def bring_back(self, hosted: Hosted) -> None:
        """Start again what was evicted or unloaded, with a fresh look at what memory there is."""
        await self._starts.refresh_budget()
        self.start(hosted)

    def client_of(self, hosted: Hosted) -> EngineClient | None:
        """How to talk to its process; None when there is none."""
        return hosted.client(self.tools.connect)

    async def stop(self, model: ModelId, why: str) -> list[InstanceId]:
        """Drain and stop every instance of a model for good, and forget them."""
        stopped = [hosted for hosted in self.instances() if hosted.planned.model == model]
        for hosted in stopped:
            hosted.dismissed = True
            hosted.announce()
            self.retire(hosted, why)
        for hosted in stopped:
            while self._hosted.get(hosted.id) is hosted and hosted.retired:
                await hosted.changed.wait()
        return [hosted.id for hosted in stopped]

    def unload(self, hosted: Hosted, why: str) -> None:
        """Stop an idle instance; the next request brings it back."""
        self.say(Topic.UNLOADED, why, hosted)
        self.grants.give_up(hosted.id)
        self.grants.ask_to_stop(hosted, why)

    async def close(self) -> None:
        """Take no more requests, let the running ones finish within the policy's time."""
        self.grants.give_up_all()
        for hosted in self._hosted.values():
            hosted.reading = False
            self.grants.ask_to_stop(hosted, "the daemon stops")
            hosted.announce()
        for hosted in self.instances():
            while hosted.state not in AT_REST or hosted.granted:
                await hosted.changed.wait()

    def say(self, topic: Topic, why: str, hosted: Hosted | None = None) -> None:
        """Publish what was decided, for people to read."""
        about = () if hosted is None else (hosted.planned.model, hosted.id)
        self.tools.bus.publish(Decided(topic, why, *about))

    def _find_or_add(self, planned: Planned, serving: Serving, terms: Terms) -> Hosted:
        """Find the instance that is exactly this, or make one."""
        for known in self.instances():
            if is_same(known, planned, serving, terms):
                return known
        hosted = make_instance(
            planned,
            serving,
            terms,
            self.tools,
            taken=self._hosted,
            takes_over=lambda instance: bool(self._successions.old_of(instance)),
        )
        self._hosted[hosted.id] = hosted
        assert self._tasks is not None, "serve() is for a fleet that runs"
        self._tasks.start_soon(hosted.host)
        return hosted

    def _route_to(self, hosted: Hosted) -> None:
        self.names.lead_to(hosted)
        for other in others_of(hosted, self.instances()):
            other.announce()  # who waits for it looks at the route again

    def retire(self, hosted: Hosted, why: str) -> None:
        """Have one instance drain and end, and forget it; its model may have others."""
        hosted.retired, hosted.reading = True, False
        self.grants.give_up(hosted.id)
        self.grants.ask_to_stop(hosted, why)
        if hosted.state in AT_REST and not hosted.granted:
            self._forget(hosted)

    def _forget(self, hosted: Hosted) -> None:
        self._restore(hosted.id)
        hosted.scope.cancel()
        self.names.forget(hosted.id)
        self._successions.forget(hosted.id)
        self._hosted.pop(hosted.id, None)
        hosted.announce()

    async def _look_at(self, instance: InstanceId) -> None:
        """Act on where an instance is now, which may be further than the news says."""
        hosted = self._hosted.get(instance)
        if hosted is None:
            return
        if hosted.state is not S.READY:
            hosted.leaving = False
        self._act_on(hosted)
        hosted.announce()
        hosted.admit()
        old = hosted.take_old_client()
        if old is not None:
            await old.aclose()

    def _act_on(self, hosted: Hosted) -> None:
        match hosted.state:
            case S.READY:
                hosted.used_at = anyio.current_time()
                self._take_over(hosted)
            case S.BACKOFF:
                self.when_one_ends(hosted)
            case S.FAILED:
                self.when_one_ends(hosted)
                self._restore(hosted.id)
            case S.STOPPED if hosted.retired and not hosted.granted:
                self._forget(hosted)
            case S.STOPPED if not self.is_on_its_way(hosted):
                self._restore(hosted.id, unasked=False)  # it made room itself, on its way
            case _:
                pass

    def _take_over(self, ready: Hosted) -> None:
        """Shift requests to one that has got ready; those that it replaces drain.

        Of its own model, one that was asked for later stays: this one has only come back, or was
        slower.
        """
        if ready.retired:
            return
        others, old = others_of(ready, self.instances()), self._successions.old_of(ready.id)
        older = [h for h in others if h.asked < ready.asked]
        if len(older) == len(others):
            self._route_to(ready)
        self.names.choose(ready)
        gap_s = self._successions.succeeded(ready.id, anyio.current_time())
        older += [h for h in self.instances() if h.id in old and h not in others and not h.pinned]
        for other in older:
            self.retire(other, f"replaced by {ready.id}")
        for other in [h for h in self.instances() if h.id in old]:
            other.announce()  # one that was pinned meanwhile has nobody to wait for any more
        if gap_s is not None:
            ready.gap_s = gap_s
            without = f"for {gap_s:.1f} s no model was ready" if gap_s else "no request waited"
            self.say(Topic.SWITCHED, f"takes over from {', '.join(sorted(old))}: {without}", ready)

    def _restore(self, failed: InstanceId | None, *, unasked: bool = True) -> None:
        """End a succession that comes to nothing.

        Args:
            unasked: Have those serve again that made room; else they wait for a request.
        """
        old = frozenset() if failed is None else self._successions.old_of(failed)
        evicted = frozenset() if failed is None else self._successions.failed(failed)
        for hosted in [h for h in self.instances() if h.id in old and not h.retired]:
            if unasked and hosted.id in evicted:
                self.say(Topic.ROLLED_BACK, f"serves again: {failed} could not take over", hosted)
                self.start(hosted)
            hosted.announce()  # whoever waits at it has waited for the other one
