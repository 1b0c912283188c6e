"""An instance's life, told as the transitions a reader would draw on a whiteboard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from localllm.events import InstanceId
from localllm.events import ModelState as S
from localllm.supervisor import messages as m
from localllm.supervisor.lifecycle import TABLE, InstanceRecord, RestartPolicy, step

POLICY = RestartPolicy(max_crashes=3)
DUE = 5.0
TIME_IS_UP = m.TimedOut(1, DUE)


def an_instance(
    state: S, *, run: int = 1, crashes: int = 0, ready_at: float | None = None
) -> InstanceRecord:
    record = InstanceRecord(InstanceId("qwen:q4"), state, run=run, crashes=crashes)
    return replace(record, ready_at=ready_at, deadline=DUE)


def after(record: InstanceRecord, *inputs: m.Input, now: float = 0.0) -> InstanceRecord:
    for happened in inputs:
        record, _ = step(record, happened, now, POLICY)
    return record


@pytest.mark.parametrize(
    ("before", "happened", "expected"),
    [
        (S.STOPPED, m.StartAsked(), S.STARTING),
        (S.STARTING, m.Healthy(1), S.WARMING),
        (S.STARTING, m.Exited(1, 1), S.BACKOFF),
        (S.WARMING, m.Warmed(1), S.READY),
        (S.READY, m.StopAsked("evicted", in_flight=1), S.DRAINING),
        (S.READY, m.StopAsked("evicted", in_flight=0), S.STOPPING),
        (S.READY, m.StartAsked(), S.READY),
        (S.DRAINING, m.Idle(1), S.STOPPING),
        (S.DRAINING, m.Hung(1), S.STOPPING),
        (S.STOPPING, m.Exited(1, -15), S.STOPPED),
        (S.BACKOFF, TIME_IS_UP, S.STARTING),
        (S.BACKOFF, m.StopAsked("user", in_flight=0), S.STOPPED),
        (S.FAILED, m.StartAsked(), S.STARTING),
    ],
    ids=lambda value: value.value if isinstance(value, S) else type(value).__name__,
)
def test_transitions(before: S, happened: m.Input, expected: S) -> None:
    assert after(an_instance(before), happened).state is expected


@pytest.mark.parametrize(
    ("state", "happened", "why"),
    [
        (S.STARTING, TIME_IS_UP, "too long in starting; killed by signal 15"),
        (S.WARMING, TIME_IS_UP, "too long in warming; killed by signal 15"),
        (S.WARMING, m.Broke(1, "warm-up: reset"), "warm-up: reset; killed by signal 15"),
        (S.READY, m.Hung(1), "hung; killed by signal 15"),
        (S.READY, m.DeviceLost(1), "device lost; killed by signal 15"),
    ],
)
def test_what_nobody_asked_for_is_a_crash_once_the_process_is_gone(
    state: S, happened: m.Input, why: str
) -> None:
    stopping, effects = step(an_instance(state), happened, 0.0, POLICY)
    gone = after(stopping, m.Exited(1, -15))

    how = m.Kill(1) if isinstance(happened, m.Hung) else m.Terminate(1)
    assert (stopping.state, effects[0]) == (S.STOPPING, how)
    assert (gone.state, gone.crashes, gone.why) == (S.BACKOFF, 1, why)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (3, "exited with 3"),
        (-4, "killed by signal 4 (illegal instruction: this build needs instructions"),
        (-9, "killed by signal 9 (by hand, or by the kernel when memory ran out)"),
        (-6, "killed by signal 6 (abort: a failed allocation"),
        (None, "never ran"),
    ],
)
def test_each_way_to_die_has_its_own_sentence(code: int | None, why: str) -> None:
    assert after(an_instance(S.STARTING), m.Exited(1, code)).why.startswith(why)


@pytest.mark.parametrize("happened", [m.Exited(1, -9), TIME_IS_UP, m.Broke(1, "b")])
def test_gives_up_when_the_crash_budget_is_spent(happened: m.Input) -> None:
    record = an_instance(S.STARTING, crashes=POLICY.max_crashes - 1)

    assert after(record, happened, m.Exited(1, -9)).state is S.FAILED


def test_what_another_start_would_not_mend_is_not_started_again() -> None:
    record = after(an_instance(S.WARMING), m.Broke(1, "odd answers", for_good=True))

    assert after(record, m.Exited(1, -15)).state is S.FAILED


@pytest.mark.parametrize("happened", [m.Exited(1, 1), m.Hung(1)])
def test_a_long_stable_run_forgives_earlier_crashes(happened: m.Input) -> None:
    record = an_instance(S.READY, crashes=POLICY.max_crashes - 1, ready_at=0.0)

    record = after(record, happened, m.Exited(1, 1), now=POLICY.stable_after_s)

    assert (record.state, record.crashes) == (S.BACKOFF, 1)


def test_an_eviction_from_backoff_does_not_refill_the_crash_budget() -> None:
    record = an_instance(S.BACKOFF, crashes=2)

    record = after(record, m.StopAsked("evicted", in_flight=0), m.StartAsked(), m.Exited(2, 1))

    assert record.state is S.FAILED


def test_a_stop_asked_for_while_a_hung_process_dies_is_not_followed_by_a_restart() -> None:
    record = after(an_instance(S.READY), m.Hung(1), m.StopAsked("user", in_flight=0))

    assert after(record, m.Exited(1, -9)).state is S.STOPPED


def test_the_start_deadline_comes_with_the_launch_and_progress_renews_it() -> None:
    record = after(an_instance(S.STOPPED, run=0), m.StartAsked())
    assert record.deadline == POLICY.spawn_timeout_s

    record, effects = step(record, m.Launched(1, pid=7, start_deadline_s=900.0), 1.0, POLICY)
    assert (record.deadline, effects) == (901.0, (m.WakeAt(1, 901.0),))

    record, effects = step(record, m.Progressed(1), 600.0, POLICY)
    assert (record.deadline, effects) == (1500.0, (m.WakeAt(1, 1500.0),))
    assert after(record, m.TimedOut(1, 901.0)) is record, "the old deadline is void"
    warming = after(record, m.Healthy(1), now=1000.0)
    assert warming.deadline == 1900.0, "warming up has as long"
    assert after(warming, m.Progressed(1), now=1500.0).deadline == 2400.0, "and is renewed too"


def test_a_stop_asked_for_before_the_process_exists_ends_it_as_soon_as_it_does() -> None:
    record = after(an_instance(S.STOPPED, run=0), m.StartAsked(), m.StopAsked("user", in_flight=0))

    record, effects = step(record, m.Launched(1, pid=7, start_deadline_s=900.0), 3.0, POLICY)

    assert (record.state, record.pid) == (S.STOPPING, 7)
    assert effects == (m.Terminate(1), m.WakeAt(1, 3.0 + POLICY.stop_grace_s))


def test_news_of_an_older_process_is_dropped() -> None:
    record = an_instance(S.READY, run=2)

    assert after(record, m.Exited(1, 1)) is record


def test_a_late_start_timeout_does_not_stop_a_ready_instance() -> None:
    record = after(an_instance(S.WARMING), m.Warmed(1))

    assert after(record, TIME_IS_UP) is record


def test_the_stop_deadline_kills() -> None:
    _, effects = step(an_instance(S.STOPPING), TIME_IS_UP, 0.0, POLICY)

    assert effects == (m.Kill(1),)


@pytest.mark.parametrize(
    ("state", "happened"),
    [(S.READY, m.StopAsked("evicted", in_flight=0)), (S.DRAINING, m.Idle(1))],
)
def test_of_an_engine_that_is_idle_and_well_leave_is_taken_before_it_is_told_to_end(
    state: S, happened: m.Input
) -> None:
    leaving, effects = step(an_instance(state), happened, 3.0, POLICY)

    assert (leaving.state, leaving.deadline) == (S.STOPPING, 3.0 + POLICY.farewell_s)
    assert effects == (m.TakeLeave(1), m.WakeAt(1, 3.0 + POLICY.farewell_s))


@pytest.mark.parametrize(
    ("state", "happened"),
    [
        (S.STARTING, m.StopAsked("user", in_flight=0)),
        (S.WARMING, m.StopAsked("user", in_flight=0)),
        (S.WARMING, m.Broke(1, "warm-up: reset")),
        (S.READY, m.Hung(1)),
        (S.READY, m.DeviceLost(1)),
        (S.DRAINING, m.Hung(1)),
        (S.DRAINING, m.DeviceLost(1)),
        (S.DRAINING, TIME_IS_UP),
    ],
)
def test_of_one_that_is_busy_or_unwell_or_not_up_yet_no_leave_is_taken(
    state: S, happened: m.Input
) -> None:
    record, effects = step(an_instance(state), happened, 0.0, POLICY)

    assert record.state is S.STOPPING
    assert not any(isinstance(effect, m.TakeLeave) for effect in effects)
    assert m.Terminate(1) in effects


def one_that_takes_leave() -> InstanceRecord:
    return after(an_instance(S.READY), m.StopAsked("evicted", in_flight=0))


@pytest.mark.parametrize(
    "happened",
    [m.LeaveTaken(1), m.TimedOut(1, POLICY.farewell_s), m.DeviceLost(1), m.Hung(1)],
    ids=lambda happened: type(happened).__name__,
)
def test_once_leave_is_taken_or_cannot_be_it_is_told_to_end_and_then_killed(
    happened: m.Input,
) -> None:
    record, effects = step(one_that_takes_leave(), happened, 7.0, POLICY)

    killed_at = 7.0 + POLICY.stop_grace_s
    assert (record.state, record.why) == (S.STOPPING, "evicted")
    assert effects == (m.Terminate(1), m.WakeAt(1, killed_at))
    assert step(record, m.TimedOut(1, killed_at), killed_at, POLICY)[1] == (m.Kill(1),)


def test_another_stop_neither_cuts_the_leave_short_nor_begins_it_again() -> None:
    leaving = one_that_takes_leave()

    record, effects = step(leaving, m.StopAsked("the daemon stops", in_flight=0), 5.0, POLICY)

    assert (record, effects) == (replace(leaving, why="the daemon stops"), ())


def test_an_engine_that_dies_while_leave_is_taken_has_stopped_and_not_crashed() -> None:
    record = after(one_that_takes_leave(), m.Exited(1, -9))

    assert (record.state, record.crashes, record.takes_leave) == (S.STOPPED, 0, False)


def everything_that_can_happen_to(record: InstanceRecord) -> Iterator[m.Input]:
    yield from (m.StartAsked(), m.StopAsked("x", in_flight=0), m.StopAsked("x", in_flight=1))
    for run in (record.run - 1, record.run):
        yield from (m.Launched(run, 7, 9.0), m.Progressed(run), m.Healthy(run), m.Warmed(run))
        yield from (m.Broke(run, "b"), m.Idle(run), m.Hung(run), m.DeviceLost(run))
        yield from (m.LeaveTaken(run), m.Exited(run, -9), m.Exited(run, None))
        yield from (m.TimedOut(run, record.deadline or 0.0), m.TimedOut(run, -1.0))


def test_no_sequence_of_inputs_breaks_the_invariants() -> None:
    first = InstanceRecord(InstanceId("any"))
    reached, frontier = {first}, [first]
    while frontier:
        before = frontier.pop()
        for happened in everything_that_can_happen_to(before):
            record, effects = step(before, happened, 0.0, POLICY)
            check_invariants(before, happened, record, effects=list(effects))
            if record not in reached and record.run <= 3:
                reached.add(record)
                frontier.append(record)
    assert {record.state for record in reached} == set(S)


def check_invariants(
    before: InstanceRecord, happened: m.Input, record: InstanceRecord, *, effects: list[m.Effect]
) -> None:
    no_process = {S.STOPPED, S.BACKOFF, S.FAILED}
    spawned = [e for e in effects if isinstance(e, m.Spawn)]
    assert record.run == before.run + len(spawned), "each spawn is a new run"
    assert not spawned or before.state in no_process, "never two processes"
    if before.state not in no_process and record.state in no_process:
        assert isinstance(happened, m.Exited), "memory is free only when the process is gone"
    assert record.pid is None or record.state not in no_process
    assert (record.ready_at is not None) == (record.state is S.READY)
    assert (record.deadline is None) == (record.state in {S.STOPPED, S.READY, S.FAILED})
    assert not record.crashed or record.state is S.STOPPING
    assert not record.takes_leave or (record.state is S.STOPPING and not record.crashed)
    assert record.crashes <= POLICY.max_crashes


def test_every_state_can_reach_stopped() -> None:
    for state in S:
        reached, frontier = {state}, {state}
        while frontier:
            frontier = {nxt for s in frontier for nxt in TABLE[s].values()} - reached
            reached |= frontier
        assert S.STOPPED in reached, state
