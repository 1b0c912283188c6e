"""Everything that counts requests, put together: the live list, counters, ledger, captures, traces."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import anyio
from aiohttp import web

from localllm.errors import LocalLLMError
from localllm.gateway.known_machine import KnownMachine
from localllm.gateway.metrics_snapshot import snapshot_of
from localllm.hardware.machine import Machine
from localllm.metrics.by_instance import ByInstance
from localllm.metrics.capture import Captures
from localllm.metrics.counters import Counters
from localllm.metrics.ledger import Ledger
from localllm.metrics.ledger_totals import read_spared
from localllm.metrics.live import Live
from localllm.metrics.prometheus import CONTENT_TYPE, Exposition
from localllm.metrics.requests import Requests
from localllm.metrics.savings import Savings, day_of
from localllm.metrics.traces import Traces, open_traces
from localllm.paths import Paths
from localllm.supervisor.bus import EventBus
from localllm.supervisor.operations import Operations

_log = logging.getLogger("localllm.metrics")


@dataclass(frozen=True, slots=True)
class Metering:
    """Lives as long as the daemon; `requests` tells the others of each request that is over."""

    requests: Requests
    counters: Counters
    ledger: Ledger
    captures: Captures
    savings: Savings
    by_instance: ByInstance
    traces: Traces | None

    async def run(self, bus: EventBus) -> None:
        """Count events, and write what is to be kept, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.ledger.run)
            tasks.start_soon(self.captures.run)
            tasks.start_soon(self._count_events, bus)

    async def aclose(self) -> None:
        if self.traces is not None:
            await self.traces.aclose()

    async def _count_events(self, bus: EventBus) -> None:
        with bus.subscribe() as events:
            async for envelope in events:
                self.counters.saw(envelope.event)


def open_metering(
    paths: Paths,
    environment: Mapping[str, str],
    prefill_tps: Callable[[str], float | None] = lambda _instance: None,
) -> Metering:
    """Put it together; nothing is written before there is something to write.

    Args:
        prefill_tps: How fast an instance reads, as its start or its plan has it.
    """
    requests, counters = Requests(), Counters()
    ledger, traces = Ledger(paths.requests_db), open_traces(environment)
    savings, by_instance = _resumed(Savings(prefill_tps), paths), ByInstance()

    def account(live: Live) -> None:
        spared = savings.finished(live)
        counters.finished(live, spared)
        by_instance.finished(live)
        ledger.offer(live, spared)

    requests.when_one_ends.append(account)
    if traces is not None:
        requests.when_one_ends.append(traces.finished)
    captures = Captures(paths.captures)
    return Metering(requests, counters, ledger, captures, savings, by_instance, traces)


def _resumed(savings: Savings, paths: Paths) -> Savings:
    """Have it go on from what was counted of this day before the daemon was started."""
    day = day_of(time.time())
    try:
        savings.resume(day, read_spared(paths.requests_db, day))
    except (LocalLLMError, OSError) as error:
        _log.warning("what was saved today is counted from now on: why=%s", error)
    return savings


class MetricsEndpoint:
    """`GET /metrics`.

    Args:
        started_at: Unix seconds.
    """

    def __init__(
        self, operations: Operations, metering: Metering, known: KnownMachine, started_at: float
    ) -> None:
        self._operations = operations
        self._known = known
        self._metering = metering
        self._started_at = started_at
        self._machine: Machine | None = None
        self._exposition = Exposition(
            metering.counters, metering.requests, lambda: snapshot_of(*self._facts())
        )

    async def show(self, _request: web.Request) -> web.Response:
        self._machine = await self._known.get()
        body = self._exposition.render()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    def _facts(self) -> tuple[Operations, Machine, float, int]:
        assert self._machine is not None, "it is looked at before anything is shown"
        return self._operations, self._machine, self._started_at, self._metering.ledger.dropped
