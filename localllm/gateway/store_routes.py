"""The store, as the control API has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
from aiohttp import web

from localllm.api.store_views import RemovedView, StoreQuery, StoreView, TidyRequest
from localllm.errors import BelongsElsewhere, ConfigError, InUse, LocalLLMError, ModelNotFound
from localllm.gateway.api_routes import ApiRoute, plain, with_body, with_query
from localllm.gateway.openapi import Operation
from localllm.metrics.ledger_totals import read_totals
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


def read_last_used(ledger: Path) -> Mapping[str, float]:
    """Read when models were last asked: the end of that day, by id, in Unix seconds.

    A ledger that cannot be read says nothing.
    """
    try:
        totals = read_totals(ledger)
    except LocalLLMError:
        return {}
    days = {total.model: total.day for total in totals}  # in the order of their days
    return {model: _end_of(day) for model, day in days.items()}


def _end_of(day: str) -> float:
    began = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return (began + timedelta(days=1)).timestamp()
