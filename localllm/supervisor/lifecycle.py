"""The life of one instance's process: a table, three rules, and one pure function.

Everything that decides a transition is in this file. Nothing here sleeps, spawns,
logs or reads a clock: `step` takes a record, what happened and the time, and
returns the new record and the effects to carry out. runner.py carries them out.

A pair that the table lacks changes nothing, so every input may be sent twice, and
a start asked for while the old process is still stopping is not lost: the
scheduler holds the request and asks again when the state reaches STOPPED.

A crash is what nobody asked for: an exit, a broken or too long start, a hang, a
lost device. It is counted at once, but BACKOFF or FAILED is entered only when the
process is gone, so two processes of one instance never share the memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from localllm.events import InstanceId
from localllm.events import ModelState as S
from localllm.supervisor import messages as msg
from localllm.units import how_it_ended


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    spawn_timeout_s: float = 30.0
    """Until the process exists; from then on the launch's own deadline counts."""

    health_every_s: float = 0.1
    health_attempt_s: float = 2.0
    warm_up_attempt_s: float = 600.0
    """For one first chat; an engine that works on it all the while may be that slow."""

    warm_up_attempts: int = 2
    drain_timeout_s: float = 30.0
    farewell_s: float = 20.0
    """For what is wanted of an engine that is idle and well, before it is told to end."""

    stop_grace_s: float = 10.0
    backoff_first_s: float = 1.0
    backoff_max_s: float = 60.0
    max_crashes: int = 3
    stable_after_s: float = 60.0
    """A run that stayed ready this long forgives the crashes before it."""


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """All that is known about one instance's process. Replaced, never mutated."""

    instance: InstanceId
    state: S = S.STOPPED
    run: int = 0
    """Counts spawns, so that news of an older process can be told and dropped."""

    pid: int | None = None
    """Leader of the process group; None when no process is known."""

    crashes: int = 0
    crashed: bool = False
    """In STOPPING: this run ends by a crash, so BACKOFF or FAILED comes next."""

    takes_leave: bool = False
    """In STOPPING: the process is idle and well, and has not been told to end yet."""

    start_deadline_s: float = 0.0
    ready_at: float | None = None
    deadline: float | None = None
    """Monotonic time at which this state has lasted too long, or BACKOFF long enough."""

    why: str = "never started"


_COMING_UP: dict[type[msg.Input], S] = {
    msg.StopAsked: S.STOPPING,
    msg.TimedOut: S.STOPPING,
    msg.Broke: S.STOPPING,
    msg.DeviceLost: S.STOPPING,
    msg.Exited: S.BACKOFF,
}
TABLE: dict[S, dict[type[msg.Input], S]] = {
    S.STOPPED: {msg.StartAsked: S.STARTING},
    S.STARTING: {msg.Healthy: S.WARMING, **_COMING_UP},
    S.WARMING: {msg.Warmed: S.READY, **_COMING_UP},
    S.READY: {
        msg.StopAsked: S.DRAINING,
        msg.Hung: S.STOPPING,
        msg.DeviceLost: S.STOPPING,
        msg.Exited: S.BACKOFF,
    },
    S.DRAINING: {
        msg.Idle: S.STOPPING,
        msg.TimedOut: S.STOPPING,
        msg.Hung: S.STOPPING,
        msg.DeviceLost: S.STOPPING,
        msg.Exited: S.STOPPED,
    },
    S.STOPPING: {msg.Launched: S.STOPPING, msg.Exited: S.STOPPED},
    S.BACKOFF: {msg.TimedOut: S.STARTING, msg.StopAsked: S.STOPPED},
    S.FAILED: {msg.StartAsked: S.STARTING, msg.StopAsked: S.STOPPED},
}

Step: TypeAlias = tuple[InstanceRecord, Sequence[msg.Effect]]

_BEGIN: dict[S, Callable[[int], msg.Effect]]
_BEGIN = {S.STARTING: msg.Spawn, S.WARMING: msg.WarmUp, S.STOPPING: msg.Terminate}
_RUNNING = frozenset({S.STARTING, S.WARMING, S.READY})
_CRASHES = (msg.Broke, msg.Hung, msg.DeviceLost, msg.TimedOut, msg.Exited)


def step(record: InstanceRecord, happened: msg.Input, now: float, policy: RestartPolicy) -> Step:
    """Apply one input.

    Args:
        now: Monotonic seconds.

    Returns:
        The next record (the same object if nothing changed) and the effects, in order.
    """
    if _is_stale(record, happened):
        return record, ()
    if (stayed := _stay(record, happened, now, policy)) is not None:
        return stayed
    state = TABLE[record.state].get(type(happened))
    if state is None:
        return record, ()
    entered, effects = _enter(_judge(record, state, happened, now, policy), now, policy)
    if isinstance(happened, msg.Hung):  # it would not hear a polite word
        effects = (msg.Kill(entered.run), *effects)
    return entered, effects


def _is_stale(record: InstanceRecord, happened: msg.Input) -> bool:
    if isinstance(happened, msg.StartAsked | msg.StopAsked):
        return False
    if isinstance(happened, msg.TimedOut) and happened.at != record.deadline:
        return True
    return happened.run != record.run


def _stay(
    record: InstanceRecord, happened: msg.Input, now: float, policy: RestartPolicy
) -> Step | None:
    """Apply what changes the record but not the state; None if `happened` is not of that kind."""
    match record.state, happened:
        case S.STARTING, msg.Launched(_, pid, limit_s):
            return _renew(replace(record, pid=pid, start_deadline_s=limit_s), now)
        case S.STARTING | S.WARMING, msg.Progressed():
            return _renew(record, now)
        case S.STOPPING, msg.LeaveTaken() | msg.TimedOut() | msg.DeviceLost() | msg.Hung() if (
            record.takes_leave
        ):
            return _enter(replace(record, takes_leave=False), now, policy)
        case S.STOPPING, msg.TimedOut():
            return record, (msg.Kill(record.run),)
        case S.STOPPING, msg.StopAsked(why):  # the asker wins: no restart after this crash
            return replace(record, crashed=False, why=why), ()
        case _:
            return None


def _judge(
    record: InstanceRecord, state: S, happened: msg.Input, now: float, policy: RestartPolicy
) -> InstanceRecord:
    """Bend the table's answer: `state` is what it says, the record has what it comes to."""
    crash = record.state in _RUNNING and isinstance(happened, _CRASHES)
    crashed = crash or record.crashed
    crashes = record.crashes
    stable = record.ready_at is not None and now - record.ready_at >= policy.stable_after_s
    if stable or record.state is S.FAILED:
        crashes = 0  # rule 1: forgiven by a stable run, or because somebody asked again
    crashes = min(crashes + crash, policy.max_crashes)
    if isinstance(happened, msg.Broke) and happened.for_good:
        crashes = policy.max_crashes
    if isinstance(happened, msg.StopAsked) and state is S.DRAINING and not happened.in_flight:
        state = S.STOPPING  # rule 2: nothing to wait for
    if isinstance(happened, msg.Exited) and crashed:
        state = S.BACKOFF if crashes < policy.max_crashes else S.FAILED  # rule 3: the budget
    return replace(
        record,
        state=state,
        run=record.run + (state is S.STARTING),
        pid=_pid(record, state, happened),
        crashes=crashes,
        crashed=crashed and state is S.STOPPING,
        takes_leave=_takes_leave(record, state, happened),
        start_deadline_s=policy.spawn_timeout_s if state is S.STARTING else record.start_deadline_s,
        ready_at=now if state is S.READY else None,
        why=_why(record, happened),
    )


def _takes_leave(record: InstanceRecord, state: S, happened: msg.Input) -> bool:
    """Whether the process is idle and well, so that there is time for more than its end."""
    served = record.state in {S.READY, S.DRAINING}
    return served and state is S.STOPPING and isinstance(happened, msg.StopAsked | msg.Idle)


def _pid(record: InstanceRecord, state: S, happened: msg.Input) -> int | None:
    if isinstance(happened, msg.Launched):
        return happened.pid
    return record.pid if state in {S.WARMING, S.READY, S.DRAINING, S.STOPPING} else None


def _enter(record: InstanceRecord, now: float, policy: RestartPolicy) -> Step:
    limit_s = _limit_s(record, policy)
    if limit_s is None:
        return replace(record, deadline=None), ()
    at = now + limit_s
    begin = msg.TakeLeave if record.takes_leave else _BEGIN.get(record.state)
    first = () if begin is None else (begin(record.run),)
    return replace(record, deadline=at), (*first, msg.WakeAt(record.run, at))


def _limit_s(record: InstanceRecord, policy: RestartPolicy) -> float | None:
    """How long the record's state may last; None: as long as it likes."""
    match record.state:
        case S.STARTING | S.WARMING:
            return record.start_deadline_s
        case S.DRAINING:
            return policy.drain_timeout_s
        case S.STOPPING:
            return policy.farewell_s if record.takes_leave else policy.stop_grace_s
        case S.BACKOFF:
            return min(policy.backoff_first_s * 2.0 ** (record.crashes - 1), policy.backoff_max_s)
        case S.STOPPED | S.READY | S.FAILED:
            return None


def _renew(record: InstanceRecord, now: float) -> Step:
    at = now + record.start_deadline_s
    return replace(record, deadline=at), (msg.WakeAt(record.run, at),)


def _why(record: InstanceRecord, happened: msg.Input) -> str:
    match happened:
        case msg.StopAsked(why) | msg.Broke(_, why, _):
            return why
        case msg.Exited(_, code):
            asked = record.state in {S.DRAINING, S.STOPPING}
            return f"{record.why}; {_ended(code)}" if asked else _ended(code)
        case msg.TimedOut():
            backoff = record.state is S.BACKOFF
            return f"again, after: {record.why}" if backoff else f"too long in {record.state}"
        case msg.Launched() | msg.Progressed() | msg.Idle() | msg.LeaveTaken():
            return record.why
        case msg.StartAsked() | msg.Healthy() | msg.Warmed() | msg.Hung() | msg.DeviceLost():
            return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(happened).__name__).lower()


def _ended(code: int | None) -> str:
    return "never ran" if code is None else how_it_ended(code)
