"""A switch from the first byte to the first answer: which step it is at, and what went wrong.

The daemon does all of it, as one thing: what is here asks once, and then only looks. Who looks away
and comes back, on another screen even, finds it by `tui/under_way.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import msgspec

from localllm.api.engine_views import BuildView
from localllm.api.pull_views import PullRequest, PullView, ThenHow
from localllm.api.sync_client import DaemonClient
from localllm.api.views import ServeReply, ServeRequest
from localllm.errors import (
    EngineNeeded,
    EngineUnusable,
    LocalLLMError,
    NotRunning,
    error_of,
)
from localllm.tui.switch_steps import PLANNED, Progress, Step, of_instance, of_pull
from localllm.wording.starts import gone, start_failed

_PATIENCE_LOOKS = 60
"""That find no daemon, one after the other: one that restarts is back by then."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OfPull:
    """A switch that begins with a download."""

    pull: PullView


@dataclass(frozen=True, slots=True)
class OfInstance:
    """One whose model is here, and starts."""

    model: str
    instance: str


Order: TypeAlias = ServeRequest | OfPull | OfInstance
"""What is to be served, as a `PullRequest` where it is not here; or a switch that is under way."""


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
    """Have it served, and watch until it is ready or has failed; None: nobody watches any more."""
    tracker = _Tracker(around)
    try:
        return _carry_out(order, tracker)
    except EngineNeeded as error:
        return tracker.tell(Progress(Step.ENGINE, failed=error, offer=tracker.offer()))
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

    def offer(self) -> BuildView | None:
        """Find the engine that would be fetched; None: none could be, or nobody can say."""
        try:
            builds = self.look(lambda daemon: daemon.builds())
        except LocalLLMError:
            return None
        return next((b for b in builds if not b.installed and b.why_not is None), None)

    def look(self, question: Callable[[DaemonClient], T]) -> T:
        """Ask for what changes nothing; a daemon that restarts is waited for."""
        for _ in range(_PATIENCE_LOOKS):
            try:
                return self.ask(question)
            except NotRunning:
                self.pause()
        return self.ask(question)


def _carry_out(order: Order, tracker: _Tracker) -> Progress:
    match order:
        case OfInstance(model, instance):
            return _ready(model, instance, tracker)
        case OfPull(pull):
            reply = _begun(pull, tracker)
        case PullRequest():
            tracker.tell(Progress(Step.DOWNLOAD, "asking the hub"))
            reply = _begun(tracker.ask(lambda daemon: daemon.pull(order)), tracker)
        case _:
            tracker.tell(Progress(Step.LOAD, PLANNED))
            reply = tracker.ask(lambda daemon: daemon.switch(order))
    return _ready(reply.id, reply.instance, tracker)


def with_engine(order: Order) -> Order:
    """Ask for the same, and for an engine first."""
    match order:
        case PullRequest():
            return msgspec.structs.replace(order, get_engine=True)
        case ServeRequest():
            return _fetching_an_engine(order, "switch")
        case OfPull(pull) if pull.then is not None:
            return _fetching_an_engine(pull.then.request, pull.then.how)
        case _:
            return order


def _fetching_an_engine(wanted: ServeRequest, then: ThenHow) -> PullRequest:
    said = {name: getattr(wanted, name) for name in ServeRequest.__struct_fields__}
    return PullRequest(**said, anyway=True, then=then, get_engine=True)


def _begun(pull: PullView, tracker: _Tracker) -> ServeReply:
    """Watch a download until the daemon serves what has come."""
    while (reply := _reply_of(pull)) is None:
        tracker.tell(of_pull(pull))
        tracker.pause()
        number = pull.id
        known = tracker.look(lambda daemon: daemon.pulls())
        found = next((one for one in known if one.id == number), None)
        if found is None:
            raise _pull_ended(pull, "it is not among the downloads any more")
        pull = found
    return reply


def _reply_of(pull: PullView) -> ServeReply | None:
    """None as long as it is not here, or is being planned."""
    if pull.state == "cancelled":
        raise _pull_ended(pull, "somebody has cancelled it")
    if pull.state == "failed":
        raise _pull_failed(pull)
    if pull.then is None:
        raise LocalLLMError(
            f"{pull.model} is fetched only: it is not switched to.",
            why="something else was asked for since, or it was cancelled",
            fix="enter again switches to it",
        )
    if pull.then.error is not None:
        raise error_of(pull.then.error.message, pull.then.error.code)
    return pull.then.reply


def _ready(model: str, instance: str, tracker: _Tracker) -> Progress:
    while True:
        models = tracker.look(lambda daemon: daemon.models())
        found = next((one for one in models if one.instance == instance), None)
        if found is None:
            events = tracker.look(lambda daemon: list(daemon.events(follow=False)))
            raise gone(model, instance, events)
        progress = tracker.tell(of_instance(found, models))
        if progress.at is Step.READY:
            return progress
        if found.state != "ready" and not found.wanted:
            raise start_failed(found)
        tracker.pause()


def _pull_ended(pull: PullView, why: str) -> LocalLLMError:
    return LocalLLMError(
        f"{pull.model} was not fetched to its end.", why=why, fix="enter again begins where it was"
    )


def _pull_failed(pull: PullView) -> LocalLLMError:
    if pull.error is None:
        return _pull_ended(pull, pull.note or "the daemon says no more")
    return error_of(pull.error.message, pull.error.code)
