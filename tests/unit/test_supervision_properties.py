"""Whatever happens, in whatever order: what holds of the life cycle, the scheduler and the routes.

The world is a simulation, see a_small_world.py. After every rule it may be anything but wrong.
"""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from localllm.events import DeviceId, InstanceId, ModelId
from localllm.events import ModelState as S
from localllm.supervisor import messages as msg
from localllm.supervisor.instance import Instance
from tests.unit.a_small_world import (
    MAX_WAIT_S,
    POLICY,
    START_DEADLINE_S,
    Change,
    Hosted,
    Plan,
    Process,
    Request,
    World,
)

GPU, HOST = DeviceId("cuda:0"), DeviceId("host")
ROOM = 10
MODELS = [ModelId(name) for name in "abc"]

NO_MEMORY = frozenset({S.STOPPED, S.FAILED})
NO_PROCESS = NO_MEMORY | {S.BACKOFF}
NOT_FOR_EVER = frozenset(S) - NO_MEMORY - {S.READY}
LONGEST_S = 150.0
"""In one state, with an engine that says nothing: loading takes the longest."""

PATIENCE_S = 1500
"""More than it takes until everybody has had a turn."""

Item = TypeVar("Item")
picks = st.integers(0, 63)
"""Which one of those that there are, however many; shrinks to the first."""

needs = st.fixed_dictionaries({GPU: st.integers(0, ROOM)}, optional={HOST: st.integers(1, ROOM)})


def pick(items: list[Item], number: int) -> Item:
    return items[number % len(items)]


def a_plan(number: int, model: ModelId, need: dict[DeviceId, int], loads_s: float = 0.0) -> Plan:
    return Plan(Instance(InstanceId(f"{model}:{number}"), model, need), loads_s)


def some_news(kind: int, run: int) -> msg.Input:
    """Of a process that is well, is not, or was long ago."""
    news: list[msg.Input] = [
        msg.Progressed(run), msg.Broke(run, "broke"), msg.Hung(run), msg.DeviceLost(run),
        msg.Launched(run, run, START_DEADLINE_S), msg.Healthy(run), msg.Warmed(run), msg.Idle(run),
        msg.Exited(run, 1), msg.TimedOut(run, 0.0), msg.LeaveTaken(run),
    ]  # fmt: skip
    return pick(news, kind)


class Supervision(RuleBasedStateMachine):
    """Two to five plans of one or two models, on one or two devices."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World({})
        self.plans: list[Plan] = []
        self.held_before: Counter[DeviceId] = Counter()
        self.end_in_silence = False

    @initialize(
        of=st.lists(st.tuples(st.sampled_from(MODELS[:2]), needs), min_size=2, max_size=5),
        pinned=st.sets(st.sampled_from(MODELS[:2])),
        served=st.integers(0, 5),
        asked=st.integers(0, 2),
        seconds=st.sampled_from([5, 4, 3, 2, 1, 0]),
        end_in_silence=st.booleans(),
    )
    def begin(
        self,
        of: list[tuple[ModelId, dict[DeviceId, int]]],
        pinned: set[ModelId],
        served: int,
        asked: int,
        seconds: int,
        end_in_silence: bool,
    ) -> None:
        self.end_in_silence = end_in_silence
        self.world.budget = {GPU: ROOM, HOST: ROOM}
        self.plans = [a_plan(number, model, need) for number, (model, need) in enumerate(of)]
        self.world.pinned = pinned
        for number, plan in enumerate(self.plans[:served]):
            self.world.serve(plan)
            if number < asked:
                self.world.ask(plan.facts.model)
            self.world.live(seconds)

    # What people and clients do.

    @rule(number=picks, replaces_current=st.booleans())
    def serve(self, number: int, replaces_current: bool) -> None:
        self.world.serve(pick(self.plans, number), replaces_current=replaces_current)

    @rule(number=picks)
    def stop(self, number: int) -> None:
        self.world.stop(pick(self.plans, number).facts.model)

    @rule(number=picks)
    def ask(self, number: int) -> None:
        self.world.ask(pick(self.plans, number).facts.model)

    @precondition(lambda self: self.waiting())
    @rule(number=picks)
    def give_up(self, number: int) -> None:
        self.world.give_up(pick(self.waiting(), number))

    @precondition(lambda self: self.served())
    @rule(number=picks)
    def end(self, number: int) -> None:
        self.world.end(pick(self.served(), number))

    @rule(model=st.sampled_from(MODELS[:2]))
    def pin_or_unpin(self, model: ModelId) -> None:
        self.world.pin(model, pinned=model not in self.world.pinned)

    @precondition(lambda self: self.idle())
    @rule(number=picks, just_asked_for=st.booleans())
    def unload(self, number: int, just_asked_for: bool) -> None:
        hosted = pick(self.idle(), number)
        self.world.unload(hosted)
        if just_asked_for:
            self.world.ask(hosted.model)

    # What the daemon's tasks do, in any order.

    @precondition(lambda self: any(hosted.inbox for hosted in self.hosted()))
    @rule(number=picks)
    def run(self, number: int) -> None:
        self.world.run(pick([hosted for hosted in self.hosted() if hosted.inbox], number))

    @precondition(lambda self: self.world.news)
    @rule()
    def hear(self) -> None:
        self.world.hear()

    @precondition(lambda self: len(self.world.news) > 1)
    @rule()
    def miss(self) -> None:
        self.world.miss()

    @precondition(lambda self: self.woken())
    @rule(number=picks)
    def look(self, number: int) -> None:
        self.world.look(pick(self.woken(), number))

    @precondition(lambda self: any(hosted.reading for hosted in self.hosted()))
    @rule(number=picks)
    def have_read(self, number: int) -> None:
        self.world.have_read(pick([hosted for hosted in self.hosted() if hosted.reading], number))

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @rule(seconds=st.integers(1, 10))
    def live(self, seconds: int) -> None:
        self.world.live(seconds)

    # What processes, devices and other programs do.

    @precondition(lambda self: self.processes())
    @rule(number=picks)
    def answer(self, number: int) -> None:
        hosted, process = pick(self.processes(), number)
        hosted.answer(process, self.world.now)

    @precondition(lambda self: self.processes())
    @rule(number=picks, code=st.sampled_from([0, 1, -9, None]))
    def die(self, number: int, code: int | None) -> None:
        hosted, process = pick(self.processes(), number)
        hosted.lose(process, code)

    @precondition(lambda self: self.processes())
    @rule(number=picks)
    def turn_deaf(self, number: int) -> None:
        _, process = pick(self.processes(), number)
        process.is_deaf = True

    @precondition(lambda self: self.processes())
    @rule(number=picks, kind=st.integers(0, 3))
    def get_on_or_into_trouble(self, number: int, kind: int) -> None:
        hosted, process = pick(self.processes(), number)
        hosted.tell(some_news(kind, process.run))

    @precondition(lambda self: self.hosted())
    @rule(number=picks, kind=picks)
    def late_news(self, number: int, kind: int) -> None:
        hosted = pick(self.hosted(), number)
        hosted.tell(some_news(kind, hosted.record.run - 1))

    @rule(device=st.sampled_from([GPU, HOST]))
    def lose_device(self, device: DeviceId) -> None:
        for hosted, process in self.processes():
            if hosted.plan.facts.need.get(device):
                hosted.tell(msg.DeviceLost(process.run))

    @rule(device=st.sampled_from([GPU, HOST]), left=st.sampled_from([ROOM, ROOM // 2, 0]))
    def other_programs_take_or_free_memory(self, device: DeviceId, left: int) -> None:
        self.world.budget[device] = left

    @rule(seconds=st.sampled_from([0.5, 10.0, 30.0, 61.0, 120.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    # What always holds.

    @invariant()
    def memory_is_granted_before_it_is_held(self) -> None:
        held = self.held()
        for device, size in held.items():
            there = self.world.budget.get(device, 0)
            assert size <= max(there, self.held_before[device]), f"{size} held of {there}"
        self.held_before = held

    @invariant()
    def one_process_belongs_to_one_run(self) -> None:
        assert not self.world.orphans
        for hosted in self.hosted():
            runs = [process.run for process in hosted.processes]
            assert runs in ([], [hosted.record.run])
            assert not runs or hosted.state not in NO_PROCESS

    @invariant()
    def neither_pinned_nor_unready_ones_are_evicted(self) -> None:
        for resident in self.world.evicted:
            assert not resident.pinned
            assert resident.state in {S.READY, S.BACKOFF}
        self.world.evicted.clear()

    @invariant()
    def busy_ones_drain_or_crash(self) -> None:
        for change in self.world.changes:
            assert not cuts_off(change), change
        self.world.changes.clear()

    @invariant()
    def every_wait_has_an_end(self) -> None:
        for hosted in self.hosted():
            assert (hosted.record.deadline is not None) == (hosted.state in NOT_FOR_EVER)
            assert hosted.record.deadline is None or will_be_left(hosted), hosted

    @invariant()
    def names_lead_to_the_newest_that_is_ready(self) -> None:
        world = self.world
        for instance in (world.find(ModelId(name)) for name in world.routes):
            assert instance is not None
        if world.news or any(hosted.inbox for hosted in self.hosted()):
            return
        for model in MODELS:
            ready = [h for h in self.hosted() if h.model == model and h.takes_requests()]
            if ready:
                assert world.find(model) is max(ready, key=lambda h: h.asked)

    def teardown(self) -> None:
        if self.end_in_silence:
            assert_that_time_alone_ends_every_wait(self.world)
        else:
            assert_that_nobody_is_forgotten(self.world)

    def hosted(self) -> list[Hosted]:
        return [*self.world.hosted.values()]

    def processes(self) -> list[tuple[Hosted, Process]]:
        return [*self.world.processes()]

    def idle(self) -> list[Hosted]:
        unused = (h for h in self.hosted() if not h.running and not h.queue)
        return [h for h in unused if h.takes_requests() and not h.pinned]

    def waiting(self) -> list[Request]:
        return [request for request in self.world.requests if request.is_waiting]

    def woken(self) -> list[Request]:
        return [request for request in self.waiting() if request.is_woken]

    def served(self) -> list[Request]:
        return [request for request in self.world.requests if not request.is_waiting]

    def held(self) -> Counter[DeviceId]:
        total: Counter[DeviceId] = Counter()
        for hosted in self.hosted():
            if hosted.granted or hosted.state not in NO_MEMORY:
                total.update(hosted.plan.facts.need)
        return total


def cuts_off(change: Change) -> bool:
    """Whether requests end, though nothing is wrong with the process and nobody gave it time."""
    asked = isinstance(change.happened, msg.StopAsked)
    return asked and change.in_flight > 0 and (change.old, change.new) == (S.READY, S.STOPPING)


def will_be_left(hosted: Hosted) -> bool:
    """Whether its state ends at its deadline, or before."""
    assert hosted.record.deadline is not None
    due = msg.TimedOut(hosted.record.run, hosted.record.deadline)
    if hosted.timer == due or due in hosted.inbox:
        return True
    is_launched = any(isinstance(news, msg.Launched) for news in hosted.inbox)
    to_come = all(process.is_doomed or not process.is_there for process in hosted.processes)
    return hosted.state is S.STOPPING and (is_launched or to_come)


def assert_that_time_alone_ends_every_wait(world: World) -> None:
    """Let nobody answer any more, and processes heed nothing but SIGKILL."""
    since: dict[tuple[InstanceId, int, S], float] = {}
    for _ in range(40):
        for hosted, process in world.processes():
            process.is_deaf = True
            if not process.is_there:  # the system spawns it or fails to, whatever it is
                hosted.answer(process, world.now)
        world.bury()
        world.settle()
        for hosted in world.hosted.values():
            began = since.setdefault((hosted.id, hosted.record.run, hosted.state), world.now)
            assert hosted.state not in NOT_FOR_EVER or world.now - began <= LONGEST_S, hosted
        world.pass_time(10.0)


def assert_that_nobody_is_forgotten(world: World) -> None:
    """Let everybody do what it can, and each request end a second after it is served."""
    for _ in range(PATIENCE_S):
        served = [request for request in world.requests if not request.is_waiting]
        if len(served) == len(world.requests):
            return
        world.live()
        for request in served:
            world.end(request)
    left = [(r.model, r.since, r.waits_at and r.waits_at.id) for r in world.requests]
    raise AssertionError(f"still waiting: {left}")


TestSupervision = Supervision.TestCase
TestSupervision.settings = settings(
    max_examples=300, stateful_step_count=40, derandomize=True, deadline=None
)


@settings(max_examples=15, derandomize=True, deadline=None)
@given(
    sizes=st.lists(st.integers(ROOM // 2 + 1, ROOM), min_size=2, max_size=3),
    loads_s=st.sampled_from([1, 30, 70, 150]),
    serves_s=st.sampled_from([2, 20, 100]),
)
def test_no_model_starves_another(sizes: list[int], loads_s: int, serves_s: int) -> None:
    """None fits beside another, and each is asked again before its last answer ends."""
    world, models = World({GPU: ROOM}), MODELS[: len(sizes)]
    for number, (model, size) in enumerate(zip(models, sizes, strict=True)):
        world.serve(a_plan(number, model, {GPU: size}, float(loads_s)))
    stop_s = POLICY.drain_timeout_s + POLICY.farewell_s + POLICY.stop_grace_s
    turn_s = MAX_WAIT_S + stop_s + loads_s + 10
    in_time_s = int(turn_s * len(sizes))
    for second in range(in_time_s * 3 // 2):
        if second % (serves_s // 2) == 0:
            ask_for_each(world, models)
        world.live()
        for request in [*world.requests]:
            assert not request.is_waiting or world.now - request.since <= in_time_s
            if request.served_at is not None and world.now - request.served_at >= serves_s:
                world.end(request)


def ask_for_each(world: World, models: list[ModelId]) -> None:
    """Let a request for each model arrive, but none where two wait."""
    for model in models:
        if sum(request.is_waiting for request in world.requests if request.model == model) < 2:
            world.ask(model)


# What longer searches have found, in few acts.

FIRST, SECOND = (a_plan(number, MODELS[0], {GPU: 4}) for number in (1, 2))
BIG = a_plan(3, MODELS[1], {GPU: 9})


def a_world_that_serves(plan: Plan) -> World:
    world = World({GPU: ROOM})
    world.serve(plan)
    world.live(4)
    return world


def crash(world: World, plan: Plan) -> None:
    hosted = world.hosted[plan.facts.id]
    hosted.lose(hosted.processes[0], 1)
    world.settle()


def unload(world: World, plan: Plan) -> None:
    world.unload(world.hosted[plan.facts.id])
    world.settle()
    world.bury()
    world.settle()


def wait_for_a_successor_that_crashes() -> World:
    world = a_world_that_serves(FIRST)
    world.serve(SECOND)
    world.settle()
    crash(world, SECOND)
    unload(world, FIRST)
    world.ask(MODELS[0])
    return world


def test_who_waits_for_a_successor_is_told_when_it_gives_up() -> None:
    world = wait_for_a_successor_that_crashes()
    world.live(int(POLICY.backoff_first_s))
    crash(world, SECOND)

    assert world.hosted[SECOND.facts.id].state is S.FAILED
    assert_that_nobody_is_forgotten(world)


def test_who_waits_for_a_successor_is_told_when_it_is_evicted_before_it_restarts() -> None:
    world = wait_for_a_successor_that_crashes()
    world.serve(BIG)

    assert_that_nobody_is_forgotten(world)


def test_who_waits_for_one_that_made_room_is_told_when_it_was_pinned_meanwhile() -> None:
    world = a_world_that_serves(FIRST)
    world.serve(BIG, replaces_current=True)
    world.settle()
    world.ask(MODELS[0])
    world.pin(MODELS[0], pinned=True)

    assert_that_nobody_is_forgotten(world)


def test_who_looks_for_memory_is_not_left_with_an_instance_that_was_forgotten() -> None:
    world = a_world_that_serves(FIRST)
    unload(world, FIRST)
    world.ask(MODELS[0])
    world.serve(SECOND)

    assert_that_nobody_is_forgotten(world)


def test_who_asks_for_what_does_not_fit_beside_a_pinned_one_is_refused_at_once() -> None:
    world = a_world_that_serves(FIRST)
    unload(world, FIRST)
    world.pin(MODELS[1], pinned=True)
    world.serve(BIG)
    world.live(4)
    world.ask(MODELS[0])
    world.settle()

    assert not world.requests


def test_late_news_of_a_run_does_not_take_the_grant_of_the_next() -> None:
    world = World({GPU: ROOM})
    world.serve(FIRST)
    world.settle()
    first = world.hosted[FIRST.facts.id]
    world.stop(MODELS[0])
    world.serve(FIRST)
    world.run(first)
    first.lose(first.processes[0], -15)
    world.run(first)
    world.serve(BIG)
    while world.news:
        world.hear()

    assert first.granted
    assert not world.hosted[BIG.facts.id].granted
