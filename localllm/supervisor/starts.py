"""How an instance comes to be wanted: its file read ahead, the budget looked at anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from localllm.events import InstanceId
from localllm.supervisor.accounts import held, is_settled
from localllm.supervisor.grants import Grants
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.model_pages import read_model_ahead
from localllm.supervisor.tools import Tools


@dataclass(frozen=True, slots=True)
class Starts:
    """Owned by the fleet alone.

    Args:
        hosted: The fleet's own table, which it changes.
    """

    hosted: Mapping[InstanceId, Hosted]
    grants: Grants
    tools: Tools

    def start(self, hosted: Hosted, tasks: TaskGroup) -> None:
        """Want it; while another one serves that has to make room, once its file is in memory."""
        if hosted.reading:
            return
        serving = any(h.takes_requests() for h in self.hosted.values())
        if not serving or not self.grants.needs_room(hosted):
            self.grants.want(hosted)
            return
        hosted.reading, hosted.refused = True, None
        tasks.start_soon(self._start_once_read, hosted)

    async def _start_once_read(self, hosted: Hosted) -> None:
        await anyio.to_thread.run_sync(
            read_model_ahead, hosted.planned.stored, lambda: hosted.reading, abandon_on_cancel=True
        )
        if hosted.reading:
            hosted.reading = False
            self.grants.want(hosted)

    async def refresh_budget(self) -> None:
        """Look at what other programs hold now; what starts or ends would blur the picture."""
        instances = [*self.hosted.values()]
        if not is_settled(instances):
            return
        planned, ours = [h.planned for h in instances], held(instances, all_of_them=True)
        told = await anyio.to_thread.run_sync(self.tools.budgets, planned, ours)
        if is_settled(self.hosted.values()):
            self.grants.budget.update(told)
