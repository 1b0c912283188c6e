"""The life of each pull, as a pure function and what it tells of. Asks nothing.

A pull is a job that one process at a time carries out. To pause, to cancel and to end the daemon
that process is killed, which loses nothing: what has come stays, and the next goes on from there.
A pull whose last process is not gone yet waits, so that no two are ever at the same files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

from localllm.errors import LocalLLMError, NoNetwork, code_of
from localllm.store.job import PullJob, PullProgress
from localllm.store.pull_talk import Failure
from localllm.supervisor import pull_messages as msg
from localllm.supervisor.pull_speed import STILL, Speed, came_bytes, waiting, with_known
from localllm.units import how_it_ended


class PullState(StrEnum):
    QUEUED = "queued"
    """For its turn, or until it is tried again."""

    FETCHING = "fetching"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


S = PullState
UNDER_WAY = frozenset({S.QUEUED, S.FETCHING})
UNFINISHED = frozenset({S.QUEUED, S.FETCHING, S.PAUSED, S.FAILED})
"""What has come of them is needed still."""

OVER = frozenset({S.DONE, S.FAILED, S.CANCELLED})


@dataclass(frozen=True, slots=True)
class PullPolicy:
    at_once: int = 2
    max_crashes: int = 3
    """In a row, without a byte more; the one after it is the end."""

    network_tries: int = 10
    """Likewise, while there is no network."""

    backoff_first_s: float = 1.0
    backoff_max_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Pull:
    """All that is known about one pull. Replaced, never mutated."""

    id: str
    wanted: msg.Wanted
    state: S = S.QUEUED
    why: str = "asked for"
    turn: int = 0
    """Grows with every ask: the least is the next to run."""

    run: int = 0
    """Counts processes, so that news of an older one can be told and dropped."""

    alive: bool = False
    """A process of it is there, or not known to be gone."""

    tries: int = 0
    """That came to nothing, in a row."""

    patient: bool = False
    """It waits for a network that is not there now."""

    not_before: float = 0.0
    """On the loop's clock."""

    reached_bytes: int = 0
    """The most that had come when a process ended."""

    progress: PullProgress | None = None
    """As last told; None: no process has looked yet."""

    speed: Speed = field(default=STILL)
    failure: Failure | None = None
    then: msg.Then | None = None
    was_here: bool = False
    """All of it was on disk already when it was asked for."""

    ended_at: float = 0.0
    """On the loop's clock; 0 for one that has not, or under an earlier daemon."""

    @property
    def is_awaited(self) -> bool:
        """Whether it is to be served once it is here, and nobody has begun with that."""
        return self.then is not None and self.then.waits

    @property
    def here_bytes(self) -> int:
        if self.state is S.DONE:
            return self.wanted.job.size_bytes
        return 0 if self.progress is None else self.progress.here_bytes


Step: TypeAlias = tuple[Pull, Sequence[msg.Effect]]


def step(pull: Pull, happened: msg.Input, now: float, policy: PullPolicy) -> Step:
    """Apply one input; what makes no sense in a state changes nothing.

    Args:
        now: Monotonic seconds.

    Returns:
        The pull as it is then, the same object if nothing changed, and the effects in order.
    """
    new, effects = _step(pull, happened, now, policy)
    if new.state in OVER and pull.state not in OVER:
        new = replace(new, ended_at=now)
    return new, effects


def _step(pull: Pull, happened: msg.Input, now: float, policy: PullPolicy) -> Step:
    match happened:
        case msg.Pause() | msg.StopAll() | msg.Cancel() | msg.Arrive() | msg.Resume():
            return _asked(pull, happened)
        case msg.Begin() if may_begin(pull, now):
            return _begun(pull)
        case msg.Progressed(run, told) if run == pull.run and pull.state is S.FETCHING:
            speed = pull.speed.seen(came_bytes(told, pull.progress), now)
            return replace(pull, progress=with_known(told, pull.progress), speed=speed), ()
        case msg.Ended(run) if run == pull.run and pull.alive:
            return _end(pull, happened, now, policy)
        case _:
            return pull, ()


def _asked(pull: Pull, asked: msg.Ask) -> Step:
    match asked:
        case msg.Pause(why) if pull.state in UNDER_WAY:
            return _stopped(replace(pull, state=S.PAUSED, why=why))
        case msg.StopAll() if pull.state is S.FETCHING:
            return _stopped(replace(pull, state=S.QUEUED, why="the daemon stops"))
        case msg.Cancel():
            return _cancelled(pull)
        case msg.Arrive() if pull.state in UNFINISHED - {S.FETCHING}:
            return replace(pull, state=S.DONE, why="all of it is here", failure=None), ()
        case msg.Resume():
            return _resumed(replace(pull, then=_latest(pull, asked.then)), asked), ()
        case _:
            return pull, ()


def _cancelled(pull: Pull) -> Step:
    """End it; what is here already stays, and only is not served any more."""
    if pull.state in UNFINISHED:
        cancelled = replace(pull, state=S.CANCELLED, why="by the user", failure=None, then=None)
        return _stopped(cancelled) if pull.alive else (cancelled, (msg.Clear(),))
    return (replace(pull, then=None) if pull.is_awaited else pull), ()


def _begun(pull: Pull) -> Step:
    run, found = pull.run + 1, waiting(pull.progress)
    begun = replace(pull, state=S.FETCHING, why="its turn", run=run, alive=True)
    return replace(begun, progress=found, speed=STILL), (msg.Spawn(run),)


def may_begin(pull: Pull, now: float) -> bool:
    """Tell whether nothing but the number of others is in the way."""
    return pull.state is S.QUEUED and not pull.alive and pull.not_before <= now


def paths_of(job: PullJob) -> frozenset[str]:
    """List the files that it brings."""
    return frozenset(file.path for file in job.files)


def _stopped(pull: Pull) -> Step:
    """Have the process ended that may be there."""
    return replace(pull, speed=STILL, not_before=0.0), (msg.Kill(),) if pull.alive else ()


def _resumed(pull: Pull, asked: msg.Resume) -> Pull:
    """Put it into the queue, which one that runs or is done has no need of."""
    match pull.state:
        case S.FETCHING | S.DONE:
            return pull
        case S.QUEUED:
            turn = pull.turn
        case _:
            turn = asked.turn
    return replace(
        pull,
        wanted=_newest(pull.wanted, asked.wanted),
        state=S.QUEUED,
        why="asked for",
        turn=turn,
        tries=0,
        patient=False,
        not_before=0.0,
        failure=None,
    )


def _latest(pull: Pull, asked: msg.Then | None) -> msg.Then | None:
    """What is asked last, with the engine that somebody has agreed to before."""
    if asked is None or pull.then is None or not pull.is_awaited:
        return asked or pull.then
    return replace(asked, lacks_engine=asked.lacks_engine or pull.then.lacks_engine)


def _newest(known: msg.Wanted, planned: msg.Wanted | None) -> msg.Wanted:
    if planned is None or paths_of(planned.job) != paths_of(known.job):
        return known
    return planned


def _end(pull: Pull, ended: msg.Ended, now: float, policy: PullPolicy) -> Step:
    """Judge what the end of its process means; one that was killed by us means nothing."""
    moved = pull.speed.came_bytes > 0 and pull.here_bytes > pull.reached_bytes
    reached = max(pull.here_bytes, pull.reached_bytes)
    pull = replace(pull, alive=False, speed=STILL, reached_bytes=reached)
    if moved:
        pull = replace(pull, tries=0, patient=True)
    match pull.state:
        case S.CANCELLED:
            return pull, (msg.Clear(),)
        case S.FETCHING | S.PAUSED | S.QUEUED if ended.done:  # it was quicker than who stopped it
            return replace(pull, state=S.DONE, why="all of it is here", tries=0), ()
        case S.FETCHING if ended.failed is not None:
            return _refused(pull, ended.failed, now, policy)
        case S.FETCHING:
            return _crashed(pull, ended, now, policy)
        case _:
            return pull, ()


def _refused(pull: Pull, failure: Failure, now: float, policy: PullPolicy) -> Step:
    """Wait for a network that was there, or will be: a computer wakes up, or starts, without one."""
    waits = pull.patient and failure.code == code_of(NoNetwork)
    if not waits or pull.tries >= policy.network_tries:
        return _failed(pull, failure), ()
    return _again(pull, failure.what.rstrip("."), now, policy, failure.retry_after_s or 0.0)


def _crashed(pull: Pull, ended: msg.Ended, now: float, policy: PullPolicy) -> Step:
    """Try again what the system has ended; what ends by itself would do so again."""
    how = ended.why if ended.code is None else how_it_ended(ended.code)
    by_itself = ended.code is not None and ended.code >= 0
    if by_itself or pull.tries >= policy.max_crashes:
        return _failed(pull, _death_of(pull, how)), ()
    return _again(pull, f"the process that pulls it has died ({how})", now, policy)


def _again(pull: Pull, why: str, now: float, policy: PullPolicy, at_least_s: float = 0.0) -> Step:
    pause_s = min(policy.backoff_max_s, policy.backoff_first_s * 2.0**pull.tries)
    pause_s = max(pause_s, at_least_s)
    at, why = now + pause_s, f"{why}: again in {pause_s:.0f} s"
    queued = replace(pull, state=S.QUEUED, why=why, tries=pull.tries + 1, not_before=at)
    return queued, (msg.WakeAt(at),)


def _failed(pull: Pull, failure: Failure) -> Pull:
    return replace(pull, state=S.FAILED, why=failure.what, failure=failure)


def _death_of(pull: Pull, how: str) -> Failure:
    return Failure(
        code=code_of(LocalLLMError),
        what=f"The process that pulls {pull.wanted.model} has died.",
        why=how,
        fix="free memory if the system was out of it, and resume; localllm logs daemon says more",
    )
