"""Pulls, as the control API has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from localllm.api.pull_views import PullRequest, PullView
from localllm.errors import (
    AccessRefused,
    Busy,
    ConfigError,
    DoesNotFit,
    EngineUnusable,
    ModelNotFound,
    NoNetwork,
    NotFound,
)
from localllm.gateway.api_routes import ApiRoute, plain, with_body
from localllm.gateway.openapi import Operation
from localllm.supervisor.storekeeping import Storekeeping

_PULLS = "/api/v1/pulls"
_OF_ONE = f"{_PULLS}/{{pull}}"
_PLANNED = (ModelNotFound, DoesNotFit, EngineUnusable, ConfigError, NoNetwork, AccessRefused, Busy)


@dataclass(frozen=True, slots=True)
class PullRoutes:
    """Calls under /api/v1/pulls."""

    store: Storekeeping

    def table(self) -> Sequence[ApiRoute]:
        return [
            plain(
                Operation("GET", _PULLS, "Pulls that have not ended, and the last that have."),
                list[PullView],
                self.list,
            ),
            with_body(
                Operation(
                    "POST",
                    _PULLS,
                    "Fetch a model, or go on with it; serve it then, if that is wanted.",
                    _PLANNED,
                    status=202,
                ),
                PullRequest,
                PullView,
                self.begin,
            ),
            plain(
                Operation("POST", f"{_OF_ONE}/pause", "Stop it, keep what has come.", (NotFound,)),
                PullView,
                self.pause,
            ),
            plain(
                Operation("POST", f"{_OF_ONE}/resume", "Go on with it, or try again.", (NotFound,)),
                PullView,
                self.resume,
            ),
            plain(
                Operation("DELETE", _OF_ONE, "End it, remove its half files.", (NotFound,)),
                PullView,
                self.cancel,
            ),
        ]

    async def list(self, _request: web.Request) -> list[PullView]:
        return self.store.pulls.book.views()

    async def begin(self, _request: web.Request, wanted: PullRequest) -> PullView:
        return await self.store.pull(wanted)

    async def pause(self, request: web.Request) -> PullView:
        return self.store.pulls.pause(request.match_info["pull"])

    async def resume(self, request: web.Request) -> PullView:
        return self.store.pulls.resume(request.match_info["pull"])

    async def cancel(self, request: web.Request) -> PullView:
        return await self.store.pulls.cancel(request.match_info["pull"])
