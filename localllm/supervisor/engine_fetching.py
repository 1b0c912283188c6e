"""Fetches an engine for what is to be served and lacks one: who asked for it has agreed to that."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import anyio

from localllm.api.pull_views import EngineFetchView
from localllm.api.views import ServeRequest
from localllm.engines.builds.obtain import obtain
from localllm.planning.desk import Desk
from localllm.supervisor.failures import failure_of
from localllm.supervisor.pull_messages import Then
from localllm.supervisor.pulling_list import Pull
from localllm.supervisor.pulls import Pulls

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineFetching:
    """One after the other; what serves meanwhile does not notice, since a thread does it."""

    desk: Desk
    pulls: Pulls

    async def run(self) -> None:
        """Until cancelled; what is half fetched then is gone on with by the next daemon."""
        while True:
            changed = self.pulls.book.changed
            pull = self.pulls.book.next_without_engine()
            if pull is None:
                await changed.wait()
            else:
                await self._see_to(pull)

    async def _see_to(self, pull: Pull) -> None:
        then = pull.then
        assert then is not None, "it lacks an engine for it"
        outcome = await self._tried(then)
        self.pulls.book.engine = None
        self.pulls.book.settle(pull.id, then, outcome)

    async def _tried(self, then: Then) -> Then:
        work = lambda: self._get(then.request)  # noqa: E731
        try:
            await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        except Exception as error:  # noqa: BLE001  # the next daemon would meet the same
            _log.warning("no engine was fetched: %s", error, exc_info=True)
            return replace(then, refused=failure_of(error))
        return replace(then, lacks_engine=False)

    def _get(self, request: ServeRequest) -> None:
        """Install the first build that works here. Blocks: it waits for other programs' locks too."""
        machine, engines = self.desk.probe(), self.desk.engine_desk
        workshop = engines.workshop(machine, self._tell, lambda said: _log.warning("%s", said))
        anyio.run(obtain, engines.curing(machine, request), replace(workshop, tied=True))

    def _tell(self, file: str, here: int, size: int) -> None:
        self.pulls.book.engine = EngineFetchView(file=file, here=here, size=size)
