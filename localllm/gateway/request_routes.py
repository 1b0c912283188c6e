"""Requests to models, and what breaks the prefix of their prompts, as the control API has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from localllm.api.parting_views import PartingsView
from localllm.api.request_views import RequestDetailView, RequestsListView
from localllm.errors import NotFound
from localllm.gateway.api_routes import ApiRoute, plain
from localllm.gateway.last_prompts import LastPrompts
from localllm.gateway.openapi import Operation
from localllm.metrics.requests import KEPT, Requests
from localllm.metrics.showing import render_detail, render_requests

_REQUESTS = "/api/v1/requests"


@dataclass(frozen=True, slots=True)
class RequestRoutes:
    """Calls under /api/v1/requests, and what was seen of prompts."""

    requests: Requests
    prompts: LastPrompts

    def table(self) -> Sequence[ApiRoute]:
        return [
            plain(
                Operation("GET", _REQUESTS, "Requests under way, and the last ones."),
                RequestsListView,
                self.list,
            ),
            plain(
                Operation("GET", f"{_REQUESTS}/{{request}}", "All of one request.", (NotFound,)),
                RequestDetailView,
                self.show,
            ),
            plain(
                Operation(
                    "GET", "/api/v1/prefix/partings", "What broke the prefix of agents' prompts."
                ),
                PartingsView,
                self.partings,
            ),
        ]

    async def list(self, _request: web.Request) -> RequestsListView:
        return render_requests(self.requests)

    async def show(self, request: web.Request) -> RequestDetailView:
        wanted = request.match_info["request"]
        known = (*self.requests.live(), *self.requests.recent())
        live = next((one for one in known if one.id == wanted), None)
        if live is None:
            raise NotFound(
                f"No request has the id {wanted!r}.",
                why=f"those under way and the last {KEPT} are known",
                fix="GET /api/v1/requests lists them",
            )
        return render_detail(live, self.requests.clock())

    async def partings(self, _request: web.Request) -> PartingsView:
        return self.prompts.view()
