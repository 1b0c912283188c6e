"""The examination of a model, as the control API has it: asked for, looked at again and again, called off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from localllm.api.check_views import CheckRequest, CheckView
from localllm.errors import Busy, NotFound
from localllm.gateway.api_routes import ApiRoute, plain, with_body
from localllm.gateway.checking import Checks
from localllm.gateway.openapi import Operation

_PATH = "/api/v1/check"


@dataclass(frozen=True, slots=True)
class CheckRoutes:
    """Calls of /api/v1/check."""

    checks: Checks

    def table(self) -> Sequence[ApiRoute]:
        return [
            plain(
                Operation("GET", _PATH, "The check under way, or the last one.", (NotFound,)),
                CheckView,
                self.show,
            ),
            with_body(
                Operation("POST", _PATH, "Examine a model.", (Busy,), 202),
                CheckRequest,
                CheckView,
                self.start,
            ),
            plain(
                Operation("DELETE", _PATH, "Call the check under way off.", (NotFound,)),
                CheckView,
                self.cancel,
            ),
        ]

    async def show(self, _request: web.Request) -> CheckView:
        return self.checks.show()

    async def start(self, _request: web.Request, wanted: CheckRequest) -> CheckView:
        return self.checks.start(wanted)

    async def cancel(self, _request: web.Request) -> CheckView:
        self.checks.cancel()
        return self.checks.show()
