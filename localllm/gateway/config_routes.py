"""The settings over the control API: as they are, where they came from, and read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import msgspec
from aiohttp import web

from localllm.api.config_views import ConfigQuery, ConfigView, ReloadView, SettingView
from localllm.api.views import ServeRequest
from localllm.errors import ConfigError, ModelNotFound
from localllm.gateway.api_routes import ApiRoute, plain, with_query
from localllm.gateway.openapi import Operation
from localllm.planning.config_showing import render_all, render_values
from localllm.planning.effective import applying
from localllm.supervisor.config_view import render_reloaded, render_state
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.operations import Operations


@dataclass(frozen=True, slots=True)
class ConfigRoutes:
    """Two calls."""

    operations: Operations

    def table(self) -> Sequence[ApiRoute]:
        return [
            with_query(
                Operation(
                    "GET",
                    "/api/v1/config",
                    "The settings, and where each came from.",
                    (ModelNotFound,),
                ),
                ConfigQuery,
                ConfigView,
                self.show,
            ),
            plain(
                Operation(
                    "POST",
                    "/api/v1/config/reload",
                    "Read config.toml again, and say what has changed.",
                    (ConfigError,),
                ),
                ReloadView,
                self.reload,
            ),
        ]

    async def show(self, _request: web.Request, wanted: ConfigQuery) -> ConfigView:
        settings = await anyio.to_thread.run_sync(self._settings, wanted)  # it looks at files
        state = render_state(self.operations.reloading)
        return ConfigView(**msgspec.structs.asdict(state), settings=settings)

    async def reload(self, _request: web.Request) -> ReloadView:
        reloading = self.operations.reloading
        reloaded = await reloading.reload()
        return render_reloaded(reloaded, render_state(reloading))

    def _settings(self, wanted: ConfigQuery) -> list[SettingView]:
        desk = self.operations.desk.as_now()
        if wanted.model is None and wanted.profile is None:
            return render_all(desk.current.loaded)
        asked, hosted = self._meant(wanted)
        for_a_request = hosted is None or not hosted.terms.is_asked_for
        return render_values(applying(desk, asked, for_a_request=for_a_request))

    def _meant(self, wanted: ConfigQuery) -> tuple[ServeRequest, Hosted | None]:
        """Find what is served by the name of a model or a profile; else what would be."""
        asks, fleet = self.operations.orders.asks, self.operations.fleet
        is_profile = wanted.model in self.operations.desk.settings.profiles
        profile = wanted.profile or (wanted.model if is_profile else None)
        model = None if profile is not None and is_profile else wanted.model
        for hosted in fleet.instances():
            asked = asks.find(hosted.planned.model)
            is_it = asked is not None and profile is not None and asked.profile == profile
            if asked is not None and (is_it or (model and fleet.names.find(model) is hosted)):
                return asked, hosted
        return ServeRequest(model=model, profile=profile), None
