"""Sees that memory ran out for an engine, and where the user allows it serves the model with less."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from localllm.engines.diagnosis import diagnose
from localllm.errors import LocalLLMError
from localllm.events import ModelState as S
from localllm.events import StateChanged
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.orders import Orders

_log = logging.getLogger(__name__)
_READ_LINES = 60
_ENDED = frozenset({S.BACKOFF, S.FAILED})


@dataclass(slots=True)
class Shrinking:
    """Runs until cancelled.

    Args:
        oom_kills: How many processes the kernel has killed for memory so far.
    """

    fleet: Fleet
    orders: Orders
    oom_kills: Callable[[], int]
    _seen_kills: int = 0

    async def run(self) -> None:
        self._seen_kills = self.oom_kills()
        with self.fleet.tools.bus.subscribe() as events:
            async for envelope in events:
                match envelope.event:
                    case StateChanged(instance, new=new) if new in _ENDED:
                        await self._look_at(self.fleet.names.find(instance))
                    case _:
                        continue

    async def _look_at(self, hosted: Hosted | None) -> None:
        if hosted is None or hosted.retired or not self._ran_out_of_memory(hosted):
            return
        try:
            await self.orders.serve_less(hosted)
        except LocalLLMError as error:
            _log.warning("nothing less can be served: model=%s %s", hosted.planned.model, error)

    def _ran_out_of_memory(self, hosted: Hosted) -> bool:
        kills = self.oom_kills()
        by_kernel, self._seen_kills = kills > self._seen_kills, kills
        why = hosted.runner.record.why
        known = diagnose("\n".join([*hosted.log_tail(_READ_LINES), why]))
        return (by_kernel and "killed by signal 9" in why) or (
            known is not None and known.out_of_memory
        )
