"""A switch from the first byte to the first answer: which step it is at, and what went wrong.

The daemon does all of it. What is here asks for one part after the other, and looks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from localllm.api.event_views import EventView
from localllm.api.pull_views import PullRequest, PullView
from localllm.api.status_views import InstanceView
from localllm.api.sync_client import DaemonClient, error_of
from localllm.api.views import ServeRequest
from localllm.errors import EngineUnusable, LocalLLMError, NotRunning, StartFailed
from localllm.tui.words import duration_of, size_of

_LEAVING = ("draining", "stopping")
_PATIENCE_LOOKS = 60
"""That find no daemon, one after the other: one that restarts is back by then."""

T = TypeVar("T")


class Step(IntEnum):
    """In their order."""

    ENGINE = 0
    DOWNLOAD = 1
    LOAD = 2
    WARM_UP = 3
    SHIFT = 4
    READY = 5


STEPS = {
    Step.ENGINE: "engine",
    Step.DOWNLOAD: "download",
    Step.LOAD: "load",
    Step.WARM_UP: "warm-up",
    Step.SHIFT: "shift",
    Step.READY: "ready",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    at: Step
    note: str = ""
    """What there is to say of this step."""

    share: float | None = None
    """Of the download."""

    failed: LocalLLMError | None = None
    served: InstanceView | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done."""

    serve: ServeRequest
    pull: PullRequest | None
    """None where it is on disk."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a switch needs of the world.

    Args:
        ask: Asks the daemon; waits for its answer.
        tell: Shows how far it is.
        pause: Waits until the next look; False ends the switch's watch, not the switch.
    """

    ask: Callable[[Callable[[DaemonClient], object]], object]
    tell: Callable[[Progress], None]
    pause: Callable[[], bool]


def carry_out(order: Order, around: Surroundings) -> Progress | None:
    """Have it fetched and served, and watch until it is ready or has failed; None: nobody watches any more."""
    tracker = _Tracker(around)
    try:
        return _carry_out(order, tracker)
    except EngineUnusable as error:
        return tracker.tell(Progress(Step.ENGINE, failed=error))
    except LocalLLMError as error:
        return tracker.tell(Progress(tracker.at, failed=error))
    except _Unwatched:
        return None


class _Unwatched(Exception):
    """The screen is closed; the daemon goes on."""


class _Tracker:
    """Remembers the step, so that an error is shown at it."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self.at = Step.ENGINE

    def tell(self, progress: Progress) -> Progress:
        self.at = progress.at
        self._around.tell(progress)
        return progress

    def pause(self) -> None:
        if not self._around.pause():
            raise _Unwatched

    def ask(self, question: Callable[[DaemonClient], T]) -> T:
        return self._around.ask(question)  # type: ignore[return-value]  # it answers the question

    def look(self, question: Callable[[DaemonClient], T]) -> T:
        """Ask for what changes nothing; a daemon that restarts is waited for."""
        for _ in range(_PATIENCE_LOOKS):
            try:
                return self.ask(question)
            except NotRunning:
                self.pause()
        return self.ask(question)


def _carry_out(order: Order, tracker: _Tracker) -> Progress:
    serve = order.serve
    if order.pull is not None:
        pull = order.pull
        tracker.tell(Progress(Step.DOWNLOAD, "asking the hub"))
        arrived = _fetched(tracker.ask(lambda daemon: daemon.pull(pull)), tracker)
        serve = ServeRequest(model=arrived.model, context=serve.context)
    tracker.tell(Progress(Step.LOAD, "is being planned"))
    reply = tracker.ask(lambda daemon: daemon.switch(serve))
    return _ready(reply.id, reply.instance, tracker)


def _fetched(pull: PullView, tracker: _Tracker) -> PullView:
    while pull.state != "done":
        tracker.tell(of_pull(pull))
        tracker.pause()
        number = pull.id
        known = tracker.look(lambda daemon: daemon.pulls())
        found = next((one for one in known if one.id == number), None)
        if found is None:
            raise _pull_ended(pull, "it is not among the downloads any more")
        pull = found
        if pull.state == "cancelled":
            raise _pull_ended(pull, "somebody has cancelled it")
        if pull.state == "failed":
            raise _pull_failed(pull)
    return pull


def _ready(model: str, instance: str, tracker: _Tracker) -> Progress:
    while True:
        models = tracker.look(lambda daemon: daemon.models())
        found = next((one for one in models if one.instance == instance), None)
        if found is None:
            raise _gone(
                model, instance, tracker.look(lambda daemon: list(daemon.events(follow=False)))
            )
        progress = tracker.tell(of_instance(found, models))
        if progress.at is Step.READY:
            return progress
        if found.state != "ready" and not found.wanted:
            raise _start_failed(found)
        tracker.pause()


def of_pull(pull: PullView) -> Progress:
    """Say how far a download is."""
    parts = [f"{size_of(pull.here)} of {size_of(pull.size)}"]
    if pull.state != "fetching":
        parts.append(pull.state)
    elif pull.speed:
        parts.append(f"{size_of(int(pull.speed))}/s")
        parts.append(f"{duration_of(pull.left)} left")
    if pull.note is not None:
        parts.append(pull.note)
    share = pull.here / pull.size if pull.size else 1.0
    return Progress(Step.DOWNLOAD, "  ".join(parts), share)


def of_instance(found: InstanceView, models: Sequence[InstanceView]) -> Progress:
    """Say how far a start is; it has taken over once nobody is left that makes room for it."""
    leaving = [one for one in models if one.instance != found.instance and one.state in _LEAVING]
    if found.state == "ready":
        if leaving:
            return Progress(Step.SHIFT, _leaves(leaving[0]), served=found)
        return Progress(Step.READY, served=found)
    if found.state == "warming":
        return Progress(Step.WARM_UP, found.why, served=found)
    if found.state == "downloading":
        return Progress(Step.DOWNLOAD, found.why, served=found)
    note = found.why if not leaving else f"{_leaves(leaving[0])} first"
    if found.state == "backoff" and found.error is not None:
        note = f"is tried again: {found.error.reason}"
    return Progress(Step.LOAD, note, served=found)


def _leaves(one: InstanceView) -> str:
    active = one.requests.active
    if one.state == "draining" and active:
        return f"{one.id} finishes {active} request{'s' if active > 1 else ''}"
    return f"{one.id} is {one.state}"


def _pull_ended(pull: PullView, why: str) -> LocalLLMError:
    return LocalLLMError(
        f"{pull.model} was not fetched to its end.", why=why, fix="enter again begins where it was"
    )


def _pull_failed(pull: PullView) -> LocalLLMError:
    if pull.error is None:
        return _pull_ended(pull, pull.note or "the daemon says no more")
    return error_of(pull.error.message, pull.error.code)


def _start_failed(one: InstanceView) -> LocalLLMError:
    error = one.error
    lines = [] if error is None else error.log
    said = "".join(f"\n  | {line}" for line in lines)
    fix = None if error is None else error.fix
    return StartFailed(
        f"{one.id} could not be started.",
        why=(one.why if error is None else error.reason) + said,
        fix=fix or f"its log: localllm logs {one.id}",
    )


def _gone(model: str, instance: str, events: Sequence[EventView]) -> LocalLLMError:
    """Find out what was decided of an instance that is there no more."""
    told = [one for one in events if one.instance == instance and one.why]
    return StartFailed(
        f"{model} is not served any more.",
        why=told[-1].why if told else "somebody stopped or replaced it",
        fix=f"its log: localllm logs {model}",
    )
