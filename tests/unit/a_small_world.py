"""The supervisor without processes, tasks and clock, for tests that try orders of what happens.

`step`, `decide`, routes and successions are the real ones. What carries them out mirrors runner.py,
hosted.py, lobby.py, grants.py, fleet.py and lending.py under the same names, cut where tasks
hand over to each other there. Whoever drives it chooses the order of the acts, and the time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from localllm.events import DeviceId, InstanceId, ModelId
from localllm.events import ModelState as S
from localllm.supervisor import lifecycle, scheduler
from localllm.supervisor import messages as msg
from localllm.supervisor.instance import Instance
from localllm.supervisor.lifecycle import InstanceRecord, RestartPolicy
from localllm.supervisor.routing import Routes, resolve, shift, without
from localllm.supervisor.scheduler import Decision, Drain, Refuse, Resident, Serve, Start, Wait
from localllm.supervisor.succession import Successions

POLICY = RestartPolicy(max_crashes=2)
MAX_WAIT_S, START_DEADLINE_S, SLOTS = 60.0, 100.0, 2

_AT_REST = frozenset({S.STOPPED, S.FAILED})
_UP = frozenset({S.STARTING, S.WARMING, S.READY, S.BACKOFF})
_SIGKILL = -9
_MOST_ACTS = 1000
"""More than any world here has to do before it must wait for time to pass."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a person asks to be served; the same twice is one instance."""

    facts: Instance
    loads_s: float = 0.0
    """What a process takes until it is healthy, when it does what it can."""


@dataclass(eq=False, slots=True)
class Process:
    run: int
    born_at: float
    is_there: bool = False
    """Until then it is being spawned, and no signal reaches it."""

    is_healthy: bool = False
    warms_up: bool = False
    takes_leave: bool = False
    is_deaf: bool = False
    """To everything but SIGKILL."""

    is_doomed: bool = False
    """A signal that it heeds has reached it."""


@dataclass(eq=False, slots=True)
class Request:
    model: ModelId
    since: float
    turns: Iterator[None]
    """Its task: each turn ends where the task would wait."""

    waits_at: Hosted | None = None
    is_woken: bool = False
    served_by: Hosted | None = None
    served_at: float | None = None
    refused: str | None = None

    @property
    def is_waiting(self) -> bool:
        return self.served_by is None and self.refused is None


@dataclass(frozen=True, slots=True)
class Change:
    """A transition of one instance's record."""

    of: InstanceId
    old: S
    happened: msg.Input
    new: S
    in_flight: int


@dataclass(frozen=True, slots=True)
class Refused:
    instance: InstanceId


@dataclass(eq=False, slots=True)
class Hosted:
    """One instance: what its runner, its lobby and the fleet know of it."""

    plan: Plan
    record: InstanceRecord
    used_at: float
    inbox: deque[msg.Input] = field(default_factory=deque)
    timer: msg.TimedOut | None = None
    processes: list[Process] = field(default_factory=list)
    """Those that were spawned and are not gone; more than one is an error."""

    queue: list[Request] = field(default_factory=list)
    running: list[Request] = field(default_factory=list)
    asked: int = 0
    pinned: bool = False
    refused: str | None = None
    reading: bool = False
    granted_run: int = 0
    """The run that may start; until its runner has got to it, it holds its memory all the same."""

    leaving: bool = False
    retired: bool = False
    dismissed: bool = False

    @property
    def id(self) -> InstanceId:
        return self.plan.facts.id

    @property
    def model(self) -> ModelId:
        return self.plan.facts.model

    @property
    def state(self) -> S:
        return self.record.state

    @property
    def granted(self) -> bool:
        return self.record.run < self.granted_run

    def tell(self, happened: msg.Input) -> None:
        if not self.inbox or self.inbox[-1] != happened:
            self.inbox.append(happened)

    def carry_out(self, effect: msg.Effect, now: float) -> None:
        there = [process for process in self.processes if process.is_there]
        match effect:
            case msg.Spawn(run):
                self.processes.append(Process(run, now))
            case msg.WakeAt(run, at):
                self.timer = msg.TimedOut(run, at)
            case msg.WarmUp():
                for process in there:
                    process.warms_up = True
            case msg.TakeLeave():
                for process in there:
                    process.takes_leave = True
            case msg.Terminate() | msg.Kill():
                for process in there:
                    process.is_doomed |= isinstance(effect, msg.Kill) or not process.is_deaf

    def answer(self, process: Process, now: float) -> None:
        """Tell the next good news of a process, if it is time."""
        if not process.is_there:
            process.is_there = True
            self.tell(msg.Launched(process.run, process.run, START_DEADLINE_S))
        elif now < process.born_at + self.plan.loads_s:
            self.tell(msg.Progressed(process.run))
        elif not process.is_healthy:
            process.is_healthy = True
            self.tell(msg.Healthy(process.run))
        elif process.takes_leave:
            self.tell(msg.LeaveTaken(process.run))
        elif process.warms_up:
            self.tell(msg.Warmed(process.run))

    def lose(self, process: Process, code: int | None) -> None:
        self.processes.remove(process)
        self.tell(msg.Exited(process.run, code))

    def as_resident(self) -> Resident:
        state = S.STARTING if self.granted else self.state
        if self.leaving and state is S.READY:
            state = S.DRAINING
        busy = len(self.running) + (len(self.queue) if state is S.READY else 0)
        return Resident(self.plan.facts, state, busy, self.used_at, self.pinned)

    def takes_requests(self) -> bool:
        has_process = any(process.is_there for process in self.processes)
        return self.state is S.READY and has_process and not self.leaving and not self.retired

    def admit(self, now: float) -> None:
        while self.takes_requests() and self.queue and len(self.running) < SLOTS:
            request = self.queue.pop(0)
            request.served_by, request.served_at, request.waits_at = self, now, None
            self.running.append(request)

    def announce(self) -> None:
        for request in self.queue:
            request.is_woken = True


class World:
    """A fleet, its engines and its clients."""

    def __init__(self, budget: Mapping[DeviceId, int]) -> None:
        self.now = 0.0
        self.budget = dict(budget)
        self.hosted: dict[InstanceId, Hosted] = {}
        self.routes: Routes = {}
        self.chosen: ModelId | None = None
        self.successions = Successions()
        self.pinned: set[ModelId] = set()
        self.wanted: dict[InstanceId, float] = {}
        self.news: deque[Change | Refused] = deque()
        self.requests: list[Request] = []
        """Those that wait or are served."""

        self.changes: list[Change] = []
        self.evicted: list[Resident] = []
        self.orphans: list[Process] = []
        """Of instances that were forgotten too early."""

        self._asks = 0

    # The runner.

    def run(self, hosted: Hosted) -> None:
        """Apply all that an instance was told."""
        while hosted.inbox:
            old, happened = hosted.record, hosted.inbox.popleft()
            hosted.record, effects = lifecycle.step(old, happened, self.now, POLICY)
            if hosted.state is not old.state:
                busy = len(hosted.running)
                change = Change(hosted.id, old.state, happened, hosted.state, busy)
                self.news.append(change)
                self.changes.append(change)
            for effect in effects:
                hosted.carry_out(effect, self.now)

    # The fleet.

    def hear(self) -> None:
        """Act on the oldest news that the fleet has not heard."""
        match self.news.popleft():
            case Change(of):
                self._look_at(of)
            case Refused(instance):
                self._restore(instance)
        self.schedule()

    def miss(self) -> None:
        """Have the fleet hear that it has missed news, as a reader of the bus that is too slow."""
        self.news.clear()
        for instance in [*self.hosted]:
            self._look_at(instance)
        self.schedule()

    def find(self, model: ModelId) -> Hosted | None:
        instance = resolve(model, self.routes)
        return None if instance is None else self.hosted.get(instance)

    def is_on_its_way(self, hosted: Hosted) -> bool:
        comes = hosted.granted or hosted.reading or hosted.id in self.wanted
        restarts = hosted.state is S.STOPPING and hosted.record.crashed
        up = hosted.state in _UP or restarts
        return (comes or (up and not hosted.leaving)) and not hosted.retired

    def serve(self, plan: Plan, *, replaces_current: bool = False) -> None:
        hosted = self.hosted.get(plan.facts.id) or self._add(plan)
        self._asks += 1
        hosted.asked = self._asks
        others = self._others(hosted)
        if not any(other.state is S.READY for other in others):
            self._route_to(hosted)
        for other in others:
            if other.state is not S.READY:
                self._retire(other)
        replaced = self._replaced_by(hosted, replaces_current=replaces_current)
        self.successions.begin(hosted.id, (h.id for h in replaced))
        if not self.is_on_its_way(hosted):
            hosted.retired = hosted.dismissed = False
            self._start(hosted)
        elif hosted.state is S.READY:
            self._take_over(hosted)
        hosted.pinned = plan.facts.model in self.pinned

    def stop(self, model: ModelId) -> None:
        for hosted in [h for h in self.hosted.values() if h.model == model]:
            hosted.dismissed = True
            hosted.announce()
            self._retire(hosted)

    def pin(self, model: ModelId, *, pinned: bool) -> None:
        self.pinned = self.pinned | {model} if pinned else self.pinned - {model}
        for hosted in [h for h in self.hosted.values() if h.model == model]:
            hosted.pinned = pinned

    def unload(self, hosted: Hosted) -> None:
        self._give_up(hosted.id)
        self._ask_to_stop(hosted)

    def schedule(self) -> None:
        for wanted in list(self.wanted):
            hosted = self.hosted.get(wanted)
            if hosted is None or self._granted(hosted):
                self._give_up(wanted)

    def _add(self, plan: Plan) -> Hosted:
        hosted = Hosted(plan, InstanceRecord(plan.facts.id), used_at=self.now)
        self.hosted[hosted.id] = hosted
        return hosted

    def _start(self, hosted: Hosted) -> None:
        if hosted.retired or hosted.reading:
            return
        serving = any(h.takes_requests() for h in self.hosted.values())
        decision = self._decide(hosted, 0.0, math.inf)
        if not serving or decision in (Start(), Serve()) or isinstance(decision, Refuse):
            self._want(hosted)
        else:
            hosted.reading, hosted.refused = True, None

    def have_read(self, hosted: Hosted) -> None:
        """Let an instance have its file in memory: it is started once there is room for it."""
        hosted.reading = False
        self._want(hosted)

    def _want(self, hosted: Hosted) -> None:
        hosted.refused = None
        self.wanted.setdefault(hosted.id, self.now)
        self.schedule()

    def _give_up(self, instance: InstanceId) -> None:
        self.wanted.pop(instance, None)

    def _others(self, hosted: Hosted) -> list[Hosted]:
        return [h for h in self.hosted.values() if h is not hosted and h.model == hosted.model]

    def _current(self) -> ModelId | None:
        staying = [h for h in self.hosted.values() if not h.retired]
        if any(h.model == self.chosen for h in staying):
            return self.chosen
        asked = max(staying, key=lambda h: (h.state is S.READY, h.asked), default=None)
        return None if asked is None else asked.model

    def _replaced_by(self, hosted: Hosted, *, replaces_current: bool) -> list[Hosted]:
        others, current = self._others(hosted), self._current()
        if replaces_current and current not in {None, hosted.model}:
            others += [h for h in self.hosted.values() if h.model == current and not h.pinned]
        return [other for other in others if not other.retired and other.asked < hosted.asked]

    def _route_to(self, hosted: Hosted) -> None:
        self.routes = shift(self.routes, hosted.model, to=hosted.id)
        for other in self._others(hosted):
            other.announce()

    def _granted(self, hosted: Hosted) -> bool:
        is_willed = self.successions.old_of(hosted.id)
        waited_s = math.inf if is_willed else self.now - self.wanted[hosted.id]
        match self._decide(hosted, waited_s, MAX_WAIT_S):
            case Start(evict=()):
                hosted.granted_run = hosted.record.run + 1
                hosted.tell(msg.StartAsked())
                return True
            case Start(evict) | Drain(evict):
                for one in evict:
                    self._evict(self.hosted[one], hosted)
                return False
            case Refuse(why):
                hosted.refused = why
                self.news.append(Refused(hosted.id))
                hosted.announce()
                return True
            case Wait():
                return hosted.state in _UP and not hosted.leaving
            case Serve():
                return True

    def _decide(self, hosted: Hosted, waited_s: float, max_wait_s: float) -> Decision:
        residents = {h.id: h.as_resident() for h in self.hosted.values()}
        for one in self.successions.old_of(hosted.id) & residents.keys():
            residents[one] = replace(residents[one], used_at=-math.inf)
        if hosted.state is S.FAILED:
            residents[hosted.id] = replace(residents[hosted.id], state=S.STOPPED)
        return scheduler.decide(
            hosted.id, self.budget, residents, waited_s=waited_s, max_wait_s=max_wait_s
        )

    def _evict(self, hosted: Hosted, for_: Hosted) -> None:
        self.evicted.append(hosted.as_resident())
        self.successions.made_room(for_.id, hosted.id, self.now)
        self._ask_to_stop(hosted)

    def _ask_to_stop(self, hosted: Hosted) -> None:
        hosted.leaving = hosted.state not in _AT_REST or hosted.granted
        hosted.tell(msg.StopAsked("asked", len(hosted.running)))

    def _retire(self, hosted: Hosted) -> None:
        hosted.retired, hosted.reading = True, False
        self._give_up(hosted.id)
        self._ask_to_stop(hosted)
        if hosted.state in _AT_REST and not hosted.granted:
            self._forget(hosted)

    def _forget(self, hosted: Hosted) -> None:
        self.orphans += hosted.processes
        self._restore(hosted.id)
        self.routes = without(self.routes, hosted.id)
        self.successions.forget(hosted.id)
        self.hosted.pop(hosted.id, None)
        hosted.announce()

    def _look_at(self, instance: InstanceId) -> None:
        hosted = self.hosted.get(instance)
        if hosted is None:
            return
        if hosted.state is not S.READY:
            hosted.leaving = False
        if hosted.state is S.READY:
            hosted.used_at = self.now
            self._take_over(hosted)
        elif hosted.state is S.STOPPED and hosted.retired and not hosted.granted:
            self._forget(hosted)
        elif hosted.state in _AT_REST and not self.is_on_its_way(hosted):
            self._restore(hosted.id)
        hosted.announce()
        hosted.admit(self.now)

    def _take_over(self, ready: Hosted) -> None:
        if ready.retired:
            return
        others, old = self._others(ready), self.successions.old_of(ready.id)
        older = [h for h in others if h.asked < ready.asked]
        if len(older) == len(others):
            self._route_to(ready)
        current = [h.asked for h in self.hosted.values() if h.model == self.chosen]
        if ready.asked >= max(current, default=0):
            self.chosen = ready.model
        self.successions.succeeded(ready.id, self.now)
        everyone = self.hosted.values()
        older += [h for h in everyone if h.id in old and h not in others and not h.pinned]
        for other in older:
            self._retire(other)
        self._tell(old)

    def _restore(self, failed: InstanceId) -> None:
        waited_for = self.successions.old_of(failed)
        for old in sorted(self.successions.failed(failed)):
            hosted = self.hosted.get(old)
            if hosted is not None and not hosted.retired:
                self._start(hosted)
        self._tell(waited_for)

    def _tell(self, instances: Iterable[InstanceId]) -> None:
        for instance in instances:
            if instance in self.hosted:
                self.hosted[instance].announce()

    # The lending.

    def ask(self, model: ModelId) -> Request:
        """Let a request arrive."""
        request = Request(model, self.now, turns=iter(()))
        request.turns = self._admitted(request)
        self.requests.append(request)
        self.look(request)
        return request

    def look(self, request: Request) -> None:
        """Let a request take its next turn."""
        request.is_woken = False
        next(request.turns, None)
        if request.refused is not None:
            self.requests.remove(request)

    def give_up(self, request: Request) -> None:
        """Let the client of a request that waits go away."""
        self.requests.remove(request)
        if request.waits_at is not None:
            request.waits_at.queue.remove(request)
            self._let_go(request.waits_at)

    def end(self, request: Request) -> None:
        """Let a request that is served be over: answered, or cut off."""
        self.requests.remove(request)
        hosted = request.served_by
        assert hosted is not None
        hosted.running.remove(request)
        hosted.used_at = self.now
        self._let_go(hosted)

    def _let_go(self, hosted: Hosted) -> None:
        hosted.admit(self.now)
        if not hosted.running:
            hosted.tell(msg.Idle(hosted.record.run))
            self.schedule()

    def _admitted(self, request: Request) -> Generator[None]:
        while request.served_by is None:
            hosted = yield from self._answering(request)
            if hosted is None:
                return
            hosted.queue.append(request)
            request.waits_at = hosted
            hosted.admit(self.now)
            if request.served_by is None:
                yield
            if request.served_by is None:
                hosted.queue.remove(request)
                request.waits_at = None

    def _answering(self, request: Request) -> Generator[None, None, Hosted | None]:
        hosted = self.find(request.model)
        if hosted is None:
            request.refused = "nobody answers"
            return None
        comes = hosted.takes_requests() or self.is_on_its_way(hosted)
        if comes or self._has_successor(hosted):
            return hosted
        if hosted.dismissed or hosted.state is S.FAILED:
            request.refused = "it is being stopped" if hosted.dismissed else hosted.record.why
            return None
        if hosted.retired:
            return hosted
        if self._is_settled():
            request.is_woken = True
            yield  # the memory is looked at, in a thread
        if self.hosted.get(hosted.id) is not hosted:
            return (yield from self._answering(request))
        self._start(hosted)
        request.refused = hosted.refused
        return None if request.refused else hosted

    def _has_successor(self, hosted: Hosted) -> bool:
        new = self.successions.successor_of(hosted.id)
        successor = None if new is None else self.hosted.get(new)
        return successor is not None and self.is_on_its_way(successor)

    def _is_settled(self) -> bool:
        return all(h.state in _AT_REST | {S.READY} and not h.granted for h in self.hosted.values())

    # Time.

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for hosted in self.hosted.values():
            if hosted.timer is not None and hosted.timer.at <= self.now:
                hosted.tell(hosted.timer)
                hosted.timer = None
        self.schedule()
        for hosted in self.hosted.values():
            hosted.admit(self.now)

    def settle(self) -> None:
        """Let everybody act who has something to act on, while time stands still."""
        for _ in range(_MOST_ACTS):
            if not self._act():
                return
        raise AssertionError("it never comes to rest")

    def _act(self) -> bool:
        told = next((hosted for hosted in self.hosted.values() if hosted.inbox), None)
        reading = next((hosted for hosted in self.hosted.values() if hosted.reading), None)
        woken = next((request for request in self.requests if request.is_woken), None)
        if told is not None:
            self.run(told)
        elif self.news:
            self.hear()
        elif woken is not None:
            self.look(woken)
        elif reading is not None:
            self.have_read(reading)
        else:
            return False
        return True

    def processes(self) -> Iterator[tuple[Hosted, Process]]:
        for hosted in [*self.hosted.values()]:
            for process in [*hosted.processes]:
                yield hosted, process

    def bury(self) -> None:
        """Let die who has been told to, in a way that it heeds."""
        for hosted, process in self.processes():
            if process.is_doomed:
                hosted.lose(process, _SIGKILL)

    def live(self, seconds: int = 1) -> None:
        """Let time pass in which every process does what it can; requests do not end."""
        for _ in range(seconds):
            for hosted, process in self.processes():
                hosted.answer(process, self.now)
            self.settle()
            self.bury()
            self.settle()
            self.pass_time(1.0)
        self.settle()
