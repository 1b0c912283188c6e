"""Has served what was pulled to be served, once it is here: whoever asked for it may be gone."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from localllm.errors import LocalLLMError, NotReady
from localllm.events import Decided, ModelId, Topic
from localllm.store.pull_talk import Failure
from localllm.supervisor.failures import failure_of
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.order_terms import How
from localllm.supervisor.orders import Orders
from localllm.supervisor.pull_messages import Then
from localllm.supervisor.pulling_list import Pull
from localllm.supervisor.pulls import Pulls

_log = logging.getLogger(__name__)
_HOW = {"serve": How.BESIDE, "switch": How.INSTEAD}


@dataclass(frozen=True, slots=True)
class Wishes:
    """One after the other, in the order in which they were asked for."""

    fleet: Fleet
    orders: Orders
    pulls: Pulls
    _gate: anyio.Lock = field(default_factory=anyio.Lock)
    """Held while one is planned, and while something newer is."""

    async def run(self) -> None:
        """Until the daemon ends; what waits then, the next one does."""
        while not self.fleet.closing:
            changed = self.pulls.book.changed
            async with self._gate:
                due = self.pulls.book.next_due()
                if due is not None:
                    await self._fulfil(due)
            if due is None:
                await changed.wait()

    @asynccontextmanager
    async def outdone(self) -> AsyncGenerator[None]:
        """Hold all back while something newer is asked for; once that is taken, they are dropped."""
        async with self._gate:
            older = self.pulls.book.wishes()
            yield
            self.pulls.book.drop_wishes(older)

    async def _fulfil(self, pull: Pull) -> None:
        then = pull.then
        assert then is not None, "it is due"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._until_taken_back, pull.id, then, tasks.cancel_scope)
            await self._serve(pull, then)
            tasks.cancel_scope.cancel()

    async def _until_taken_back(self, pull: str, then: Then, planning: anyio.CancelScope) -> None:
        """End the planning of what is not to be served any more; once planned, it is served."""
        while (known := self.pulls.book.get(pull)) is not None and known.then is then:
            await self.pulls.book.changed.wait()
        planning.cancel()

    async def _serve(self, pull: Pull, then: Then) -> None:
        try:
            reply = await self.orders.serve(then.request, _HOW[then.how])
        except NotReady:  # this daemon ends
            _log.info("left to the next daemon: model=%s", pull.wanted.model)
        except Exception as error:  # noqa: BLE001  # it is on disk: the next daemon would meet the same
            if not isinstance(error, LocalLLMError):
                _log.exception("not served though it is here: model=%s", pull.wanted.model)
            self._refused(pull, then, failure_of(error))
        else:
            self.pulls.book.settle(pull.id, then, replace(then, reply=reply))

    def _refused(self, pull: Pull, then: Then, failure: Failure) -> None:
        model = pull.wanted.model
        why = f"{model} was fetched to be served, and is not: {failure.what} {failure.why}"
        self.fleet.tools.bus.publish(Decided(Topic.REFUSED, why, ModelId(model)))
        self.pulls.book.settle(pull.id, then, replace(then, refused=failure))
