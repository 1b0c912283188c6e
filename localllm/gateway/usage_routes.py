"""What tokens, energy and money came to, as the control API has it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import anyio
from aiohttp import web

from localllm.api.usage_views import UsageQuery, UsageView
from localllm.gateway.api_routes import ApiRoute, with_query
from localllm.gateway.openapi import Operation
from localllm.metrics.ledger_schema import NewerLedger
from localllm.metrics.usage import decide_days, read_usage
from localllm.supervisor.operations import Operations


@dataclass(frozen=True, slots=True)
class UsageRoutes:
    """The call that reads the ledger."""

    operations: Operations

    def table(self) -> Sequence[ApiRoute]:
        return [
            with_query(
                Operation(
                    "GET",
                    "/api/v1/usage",
                    "What tokens and energy came to, and what they cost.",
                    (NewerLedger,),
                ),
                UsageQuery,
                UsageView,
                self.usage,
            )
        ]

    async def usage(self, _request: web.Request, wanted: UsageQuery) -> UsageView:
        """Read it in a thread: what is written in the last second or so may not be there yet."""
        desk = self.operations.desk
        days = decide_days(wanted, time.time())
        read = partial(read_usage, desk.paths.requests_db, days, wanted.by, desk.settings.cost)
        return await anyio.to_thread.run_sync(read)
