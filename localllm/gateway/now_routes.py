"""How all is at this moment: answered at once, from what the daemon knows already."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from aiohttp import web

from localllm.api.now_views import ModelNowView, NowQuery, NowView
from localllm.gateway.api_routes import ApiRoute, with_query
from localllm.gateway.known_machine import KnownMachine
from localllm.gateway.metering import Metering
from localllm.gateway.metrics_snapshot import kv_used_ratio
from localllm.gateway.now_devices import Sight, render_devices
from localllm.gateway.openapi import Operation
from localllm.gateway.recording_routes import recording_under_way
from localllm.hardware.machine import Host, Machine
from localllm.metrics.showing import render_requests, render_saved
from localllm.supervisor.config_view import render_state
from localllm.supervisor.operations import Operations

_SYSTEMS = {"linux": "Linux", "darwin": "macOS"}


@dataclass(frozen=True, slots=True)
class NowRoutes:
    """The call that screens make twice a second."""

    operations: Operations
    metering: Metering
    machine: KnownMachine

    def table(self) -> Sequence[ApiRoute]:
        return [
            with_query(
                Operation("GET", "/api/v1/now", "How all is at this moment, for screens."),
                NowQuery,
                NowView,
                self.now,
            )
        ]

    async def now(self, _request: web.Request, wanted: NowQuery) -> NowView:
        """Answer at once, but for the first time: then the machine has to be known first.

        The accelerators' drivers are asked beside it, once a second, while somebody goes on calling.
        """
        machine = await self.machine.get()
        self.operations.glances.wanted(machine.accelerators())
        return self._look(machine, wanted.recent)

    def _look(self, machine: Machine, recent: int) -> NowView:
        operations, at = self.operations, time.time()
        watch, fleet = operations.watch, operations.fleet
        sight = Sight(
            machine, watch.vitals, fleet.lost, watch.throttled, self.metering.energy.totals()
        )
        return NowView(
            at=at,
            daemon=operations.daemon(),
            host=render_host(machine.host),
            devices=render_devices(sight, fleet.instances()),
            models=self._models(),
            requests=render_requests(self.metering.requests, recent=recent),
            pulls=operations.pulls.book.views(),
            warnings=[*watch.warnings],
            config=render_state(operations.reloading),
            saved=render_saved(self.metering.savings, at),
            recording=recording_under_way(self.metering.recordings),
        )

    def _models(self) -> list[ModelNowView]:
        operations, live = self.operations, self.metering.requests.live()
        models = []
        for hosted, view in zip(operations.fleet.instances(), operations.models(), strict=True):
            flow = self.metering.by_instance.of(hosted.id, live)
            used = view.kv_used if view.kv_used is not None else kv_used_ratio(hosted)
            models.append(
                ModelNowView(
                    view=msgspec.structs.replace(view, kv_used=used),
                    generated=flow.generated_tokens,
                    read=flow.read_tokens,
                    first_token=flow.first_token_s,
                    cache_share=operations.fleet.tools.cache_share,
                )
            )
        return models


def render_host(host: Host) -> str:
    """Say what kind of computer it is, as in Apple M3 Ultra, macOS 26.1."""
    system = "Linux under WSL2" if host.wsl else _SYSTEMS.get(host.os, host.os)
    version = f" {host.os_version}" if host.os_version and host.os == "darwin" else ""
    return f"{host.cpu or f'{host.arch} processor'}, {system}{version}"
