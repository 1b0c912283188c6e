"""What a screen has the daemon do without waiting for it: asked in threads, answered in messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.message import Message
from textual.screen import Screen
from textual.worker import get_current_worker

from localllm.api.store_views import StoreView
from localllm.api.sync_client import DaemonClient
from localllm.api.views import PlanRequest, PlanView
from localllm.errors import LocalLLMError
from localllm.tui.choosing import Question
from localllm.tui.switching import Order, Progress, Surroundings, carry_out
from localllm.tui.words import plain

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

    from localllm.tui.app import Localllm

_LOOK_EVERY_S = 0.25


@dataclass
class Came(Message):
    """An answer, or why there is none."""

    what: str
    answer: PlanView | StoreView | LocalLLMError


@dataclass
class Costs(Message):
    """What one model costs."""

    question: Question
    answer: PlanView | LocalLLMError


@dataclass
class Done(Message):
    """Something small that was asked for has happened, or not."""

    said: str
    failure: LocalLLMError | None = None


@dataclass
class Moved(Message):
    """A switch is further."""

    progress: Progress


class Errands:
    """Of one screen or widget, which gets the messages.

    Threads belong to the app, so that a switch outlives the screen it was begun on.
    """

    def __init__(self, app: object, to: MessagePump) -> None:
        self._app = cast("Localllm", app)
        self._to = to

    def ask(self, what: str, question: Callable[[DaemonClient], PlanView | StoreView]) -> None:
        """Get an answer; see `Came`."""
        self._run(lambda: self._to.post_message(Came(what, self._answer(question))))

    def cost(self, question: Question, otherwise: str) -> None:
        """Ask what a model costs; see `Costs`.

        Args:
            otherwise: How else it may be named, where nobody knows what else there is of it.
        """
        self._run(lambda: self._to.post_message(Costs(question, self._cost(question, otherwise))))

    def do(self, said: str, what: Callable[[DaemonClient], object]) -> None:
        """Have something done; see `Done`."""
        self._run(partial(self._do, said, what))

    def switch(self, name: str, order: Order) -> None:
        """Have a model served, with all that it needs; see `Moved`."""
        self._run(partial(self._switch, name, order))

    def _run(self, work: Callable[[], object]) -> None:
        self._app.run_worker(work, thread=True, group="errands")

    def _answer(
        self, question: Callable[[DaemonClient], PlanView | StoreView]
    ) -> PlanView | StoreView | LocalLLMError:
        try:
            return self._app.source.ask(question)
        except LocalLLMError as error:
            return error

    def _cost(self, question: Question, otherwise: str) -> PlanView | LocalLLMError:
        name, context = question
        source = self._app.source
        try:
            return source.ask(lambda daemon: daemon.plan(PlanRequest(model=name, context=context)))
        except LocalLLMError as error:
            if otherwise == name:
                return error
        try:
            wanted = PlanRequest(model=otherwise, context=context)
            return source.ask(lambda daemon: daemon.plan(wanted))
        except LocalLLMError as error:
            return error

    def _do(self, said: str, what: Callable[[DaemonClient], object]) -> None:
        try:
            self._app.source.ask(what)
        except LocalLLMError as error:
            self._answered(Done(said, error))
        else:
            self._answered(Done(said))

    def _answered(self, done: Done) -> None:
        """Tell the screen; where it is closed, the user."""
        if self._to.post_message(done):
            return
        if done.failure is None:
            self._app.notify(done.said, markup=False)
        else:
            self._app.complain(done.failure)

    def _switch(self, name: str, order: Order) -> None:
        worker = get_current_worker()

        def pause() -> bool:
            time.sleep(_LOOK_EVERY_S)
            return not worker.is_cancelled

        def tell(progress: Progress) -> None:
            self._to.post_message(Moved(progress))

        end = carry_out(order, Surroundings(self._app.source.ask, tell, pause))
        if end is None or _is_open(self._to):
            return
        if end.failed is not None:
            self._app.complain(end.failed)
        else:
            self._app.notify(plain(f"{name} is ready"), markup=False)


def _is_open(to: MessagePump) -> bool:
    return to.is_running and (not isinstance(to, Screen) or to.is_attached)
