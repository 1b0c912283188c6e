"""What a screen has the daemon do without waiting for it: asked in threads, answered in messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from textual.message import Message
from textual.screen import Screen
from textual.worker import get_current_worker

from localllm.api.store_views import StoreView
from localllm.api.sync_client import DaemonClient
from localllm.api.views import PlanRequest, PlanView
from localllm.errors import LocalLLMError
from localllm.tui.asking import app_of
from localllm.tui.choosing import Question
from localllm.tui.switch_steps import Progress
from localllm.tui.switching import Order, Surroundings, carry_out
from localllm.wording.plain import plain

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

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
    order: Order
    """Which one: of another that was looked at before, news may come late."""


class Errands:
    """Of one screen or widget, which gets the messages.

    Threads belong to the app, so that a switch outlives the screen it was begun on.
    """

    def __init__(self, to: MessagePump) -> None:
        self._app = app_of(to)
        self._to = to

    def ask(self, what: str, question: Callable[[DaemonClient], PlanView | StoreView]) -> None:
        """Get an answer; see `Came`."""
        self._run(lambda: self._to.post_message(Came(what, self._app.source.answer(question))))

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
        """Have a model served, or look at a switch that is under way; see `Moved`.

        One is looked at at a time; the other goes on in the daemon.
        """
        work = partial(self._switch, name, order)
        self._app.run_worker(work, thread=True, group="switch", exclusive=True)

    def _run(self, work: Callable[[], object]) -> None:
        self._app.run_worker(work, thread=True, group="errands")

    def _cost(self, question: Question, otherwise: str) -> PlanView | LocalLLMError:
        name, context = question
        source = self._app.source
        wanted = PlanRequest(model=name, context=context)
        answer = source.answer(lambda daemon: daemon.plan(wanted))
        if isinstance(answer, PlanView) or otherwise == name:
            return answer
        wanted = PlanRequest(model=otherwise, context=context)
        return source.answer(lambda daemon: daemon.plan(wanted))

    def _do(self, said: str, what: Callable[[DaemonClient], object]) -> None:
        answer = self._app.source.answer(what)
        self._answered(Done(said, answer if isinstance(answer, LocalLLMError) else None))

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
            self._to.post_message(Moved(progress, order))

        end = carry_out(order, Surroundings(self._app.source.ask, tell, pause))
        if end is None or worker.is_cancelled or _is_open(self._to):
            return
        if end.failed is not None:
            self._app.complain(end.failed)
        else:
            self._app.notify(plain(f"{name} is ready"), markup=False)


def _is_open(to: MessagePump) -> bool:
    return to.is_running and (not isinstance(to, Screen) or to.is_attached)
