"""The store, as the control API has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anyio
from aiohttp import web

from localllm.api.store_views import RemovedView, StoreQuery, StoreView, TidyRequest
from localllm.errors import BelongsElsewhere, ConfigError, InUse, ModelNotFound
from localllm.gateway.api_routes import ApiRoute, plain, with_body, with_query
from localllm.gateway.openapi import Operation
from localllm.metrics.last_used import read_last_used
from localllm.supervisor.storekeeping import Storekeeping

_STORE = "/api/v1/store"


@dataclass(frozen=True, slots=True)
class StoreRoutes:
    """Calls under /api/v1/store."""

    store: Storekeeping

    def table(self) -> Sequence[ApiRoute]:
        return [
            with_query(
                Operation("GET", _STORE, "What is on this disk.", (ConfigError,)),
                StoreQuery,
                StoreView,
                self.show,
            ),
            plain(
                Operation(
                    "DELETE",
                    f"{_STORE}/{{name}}",
                    "Remove a model from this disk.",
                    (ModelNotFound, InUse, BelongsElsewhere, ConfigError),
                ),
                RemovedView,
                self.remove,
            ),
            with_body(
                Operation(
                    "POST", f"{_STORE}/gc", "Remove leftovers, and unused models.", (ConfigError,)
                ),
                TidyRequest,
                RemovedView,
                self.tidy,
            ),
        ]

    async def show(self, _request: web.Request, wanted: StoreQuery) -> StoreView:
        return await self.store.show(fit=wanted.fit)

    async def remove(self, request: web.Request) -> RemovedView:
        return await self.store.remove(request.match_info["name"])

    async def tidy(self, _request: web.Request, wanted: TidyRequest) -> RemovedView:
        used = await anyio.to_thread.run_sync(read_last_used, self.store.desk.paths.requests_db)
        return await self.store.tidy(wanted, used)
