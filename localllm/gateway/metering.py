"""Everything that counts requests, put together: the live list, counters, ledger, captures, traces."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import anyio
from aiohttp import web

from localllm.errors import LocalLLMError
from localllm.gateway.energy_metering import Places, open_energy
from localllm.gateway.known_machine import KnownMachine
from localllm.gateway.metrics_snapshot import snapshot_of
from localllm.hardware.machine import Machine
from localllm.metrics.by_instance import ByInstance
from localllm.metrics.capture import Captures
from localllm.metrics.counters import Counters
from localllm.metrics.energy import EnergyMeter
from localllm.metrics.ledger import Ledger
from localllm.metrics.ledger_totals import read_spared
from localllm.metrics.live import Live
from localllm.metrics.prometheus import CONTENT_TYPE, Exposition
from localllm.metrics.recording import Recordings, Tokens, no_tokens
from localllm.metrics.requests import Requests
from localllm.metrics.savings import Savings, day_of
from localllm.metrics.snapshot import Snapshot
from localllm.metrics.traces import Traces, open_traces
from localllm.paths import Paths
from localllm.supervisor.bus import EventBus
from localllm.supervisor.operations import Operations

_log = logging.getLogger("localllm.metrics")

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Metering:
    """Lives as long as the daemon; `requests` tells the others of each request that is over."""

    requests: Requests
    counters: Counters
    ledger: Ledger
    captures: Captures
    recordings: Recordings
    savings: Savings
    by_instance: ByInstance
    energy: EnergyMeter
    traces: Traces | None

    async def run(self, bus: EventBus) -> None:
        """Count events, and write what is to be kept, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.ledger.run)
            tasks.start_soon(self.captures.run)
            tasks.start_soon(self.recordings.run)
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
    places: Places = dict,
    tokens: Tokens = no_tokens,
) -> Metering:
    """Put it together; nothing is written before there is something to write.

    Args:
        prefill_tps: How fast an instance reads, as its start or its plan has it.
        places: Who is in memory, and where.
        tokens: Cuts prompts again, for recordings.
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
    energy = open_energy(paths.requests_db, requests, ledger, places)
    if traces is not None:
        requests.when_one_ends.append(traces.finished)
    recordings = Recordings(
        paths.traffic, requests, tokens, partial(secrets.token_bytes, _KEY_BYTES)
    )
    requests.when_one_ends.append(recordings.finished)
    return Metering(
        requests=requests,
        counters=counters,
        ledger=ledger,
        captures=Captures(paths.captures),
        recordings=recordings,
        savings=savings,
        by_instance=by_instance,
        energy=energy,
        traces=traces,
    )


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
        self._exposition = Exposition(metering.counters, metering.requests, self._snapshot)

    async def show(self, _request: web.Request) -> web.Response:
        self._machine = await self._known.get()
        body = self._exposition.render()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    def _snapshot(self) -> Snapshot:
        assert self._machine is not None, "it is looked at before anything is shown"
        metering = self._metering
        return snapshot_of(
            self._operations,
            self._machine,
            self._started_at,
            metering.ledger.dropped,
            metering.energy.totals(),
        )
