"""Sees that memory ran out for an engine, and serves the model with less."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import anyio

from localllm.engines.diagnosis import diagnose
from localllm.errors import LocalLLMError
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.orders import Orders

_log = logging.getLogger(__name__)
_READ_LINES = 60


class Shrinking:
    """Runs until cancelled.

    Args:
        oom_kills: How many processes the kernel has killed for memory so far.
        is_wanted: Whether the settings want it now.
    """

    def __init__(
        self,
        fleet: Fleet,
        orders: Orders,
        oom_kills: Callable[[], int],
        is_wanted: Callable[[], bool],
    ) -> None:
        self._orders = orders
        self._oom_kills = oom_kills
        self._is_wanted = is_wanted
        self._seen_kills = oom_kills()
        self._ended, self._to_shrink = anyio.create_memory_object_stream[Hosted](math.inf)
        fleet.when_one_ends = self._look_at

    async def run(self) -> None:
        async with self._to_shrink, self._ended:
            async for hosted in self._to_shrink:
                await self._serve_less(hosted)

    def _look_at(self, hosted: Hosted) -> None:
        if not self._is_wanted():
            return
        if not hosted.retired and not hosted.shrinks and self._ran_out_of_memory(hosted):
            hosted.shrinks = True
            self._ended.send_nowait(hosted)

    async def _serve_less(self, hosted: Hosted) -> None:
        try:
            await self._orders.serve_less(hosted)
        except LocalLLMError as error:
            _log.warning("nothing less can be served: model=%s %s", hosted.planned.model, error)
        hosted.shrinks = False
        hosted.announce()

    def _ran_out_of_memory(self, hosted: Hosted) -> bool:
        kills = self._oom_kills()
        by_kernel, self._seen_kills = kills > self._seen_kills, kills
        why = hosted.runner.record.why
        known = diagnose("\n".join([*hosted.last_words(_READ_LINES), why]))
        return (by_kernel and why.startswith("killed by signal 9")) or (
            known is not None and known.out_of_memory
        )
