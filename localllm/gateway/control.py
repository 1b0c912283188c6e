"""The control API: what the CLI and the screen ask of the daemon. JSON in, JSON out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
from aiohttp import web

from localllm.agents.errors import NoSuchAgent, NotConnectable
from localllm.api.agent_views import AgentView, FoundAgentsView
from localllm.api.engine_views import BuildView
from localllm.api.request_views import CaptureRequest, CaptureView
from localllm.api.status_views import InstanceView, StatusView
from localllm.api.views import (
    PinReply,
    PlanRequest,
    PlanView,
    ProbeView,
    ServeReply,
    ServeRequest,
    ShutdownReply,
    ShutdownRequest,
    StopReply,
)
from localllm.errors import (
    ConfigError,
    DoesNotFit,
    EngineUnusable,
    ModelNotFound,
    NoNetwork,
    NotFound,
    NotReady,
)
from localllm.gateway.agent_settings import AgentSettings
from localllm.gateway.api_routes import ApiRoute, Routes, plain, routes_of, with_body, with_query
from localllm.gateway.following import Following
from localllm.gateway.metering import Metering
from localllm.gateway.openapi import Operation
from localllm.gateway.pull_routes import PullRoutes
from localllm.gateway.recording_routes import recording_under_way
from localllm.gateway.store_routes import StoreRoutes
from localllm.metrics.capture import Capturing
from localllm.metrics.showing import render_capture, render_saved
from localllm.supervisor.operations import Operations
from localllm.supervisor.resolving import WHATEVER

_V1 = "/api/v1"
_PLANNED = (ModelNotFound, DoesNotFit, EngineUnusable, ConfigError)
"""How a plan may end."""

_SERVED = (*_PLANNED, NotReady)


class Control:
    """Calls under /api/v1.

    Args:
        shut_down: Tells the daemon to drain and end; returns at once.
    """

    def __init__(
        self,
        operations: Operations,
        metering: Metering,
        agents: AgentSettings,
        shown: Sequence[Routes],
        shut_down: Callable[[], None],
    ) -> None:
        self._operations = operations
        self._agents = agents
        self._shown = shown
        self._metering = metering
        self._shut_down = shut_down

    def routes(self) -> list[web.RouteDef]:
        return routes_of(self.table())

    def table(self) -> Sequence[ApiRoute]:
        """Every call, once."""
        following = Following(self._operations.fleet)
        store = self._operations.store
        return [
            *self._shows(),
            *self._changes(),
            *(route for routes in self._shown for route in routes.table()),
            *self._captures_and_agents(),
            *PullRoutes(store).table(),
            *StoreRoutes(store).table(),
            *following.table(),
        ]

    def _shows(self) -> Sequence[ApiRoute]:
        return [
            plain(
                Operation("GET", f"{_V1}/status", "The daemon, the machine and what is served."),
                StatusView,
                self.status,
            ),
            plain(
                Operation(
                    "GET", f"{_V1}/hardware", "What hardware was found, and how.", (ConfigError,)
                ),
                ProbeView,
                self.hardware,
            ),
            with_query(
                Operation("GET", f"{_V1}/plan", "What would run here.", (*_PLANNED, NoNetwork)),
                PlanRequest,
                PlanView,
                self.plan,
            ),
            plain(
                Operation(
                    "GET", f"{_V1}/models", "Every instance, without a look at the hardware."
                ),
                list[InstanceView],
                self.models,
            ),
            plain(
                Operation(
                    "GET",
                    f"{_V1}/engines",
                    "Builds of engines: those that are here, then those that could be, the best first.",
                ),
                list[BuildView],
                self.builds,
            ),
        ]

    def _changes(self) -> Sequence[ApiRoute]:
        of_model = f"{_V1}/models/{{id}}"
        return [
            with_body(
                Operation("POST", f"{of_model}/load", "Serve a model beside others.", _SERVED, 202),
                ServeRequest,
                ServeReply,
                self.load,
            ),
            plain(
                Operation("POST", f"{of_model}/unload", "Stop a model for good.", (ModelNotFound,)),
                StopReply,
                self.unload,
            ),
            plain(
                Operation("POST", f"{of_model}/pin", "Keep a model in memory.", (ModelNotFound,)),
                PinReply,
                self.pin,
            ),
            plain(
                Operation("POST", f"{of_model}/unpin", "Let a model go again.", (ModelNotFound,)),
                PinReply,
                self.unpin,
            ),
            with_body(
                Operation(
                    "POST", f"{_V1}/switch", "Serve a model in place of others.", _SERVED, 202
                ),
                ServeRequest,
                ServeReply,
                self.switch,
            ),
            with_body(
                Operation("POST", f"{_V1}/shutdown", "Drain, and end the daemon.", status=202),
                ShutdownRequest,
                ShutdownReply,
                self.shutdown,
            ),
        ]

    def _captures_and_agents(self) -> Sequence[ApiRoute]:
        capture = f"{_V1}/capture"
        return [
            plain(
                Operation("GET", capture, "The capture under way, or the last one.", (NotFound,)),
                CaptureView,
                self.capture,
            ),
            with_body(
                Operation("POST", capture, "Write down what one client sends.", status=202),
                CaptureRequest,
                CaptureView,
                self.start_capture,
            ),
            plain(
                Operation("DELETE", capture, "End the capture.", (NotFound,)),
                CaptureView,
                self.stop_capture,
            ),
            plain(
                Operation("GET", f"{_V1}/agents", "Which agents there are, and which are here."),
                FoundAgentsView,
                self._agents.list,
            ),
            plain(
                Operation(
                    "GET",
                    f"{_V1}/agents/{{agent}}",
                    "How an agent is pointed at what is served.",
                    (NoSuchAgent, NotConnectable, ModelNotFound),
                ),
                AgentView,
                self._agents.show,
            ),
        ]

    async def capture(self, _request: web.Request) -> CaptureView:
        return _shown(self._metering.captures.last())

    async def start_capture(self, _request: web.Request, wanted: CaptureRequest) -> CaptureView:
        captures = self._metering.captures
        begun = captures.start(wanted.client, wanted.minutes, redact_text=wanted.redact_text)
        return render_capture(begun)

    async def stop_capture(self, _request: web.Request) -> CaptureView:
        return _shown(self._metering.captures.stop())

    async def status(self, _request: web.Request) -> StatusView:
        saved = render_saved(self._metering.savings, time.time())
        recording = recording_under_way(self._metering.recordings)
        status = await self._operations.status()
        return msgspec.structs.replace(status, saved=saved, recording=recording)

    async def models(self, _request: web.Request) -> list[InstanceView]:
        return self._operations.models()

    async def builds(self, _request: web.Request) -> list[BuildView]:
        return await self._operations.builds()

    async def hardware(self, _request: web.Request) -> ProbeView:
        return await self._operations.hardware()

    async def plan(self, _request: web.Request, wanted: PlanRequest) -> PlanView:
        return await self._operations.plan(wanted)

    async def switch(self, _request: web.Request, wanted: ServeRequest) -> ServeReply:
        return await self._operations.switch(wanted)

    async def load(self, request: web.Request, wanted: ServeRequest) -> ServeReply:
        """Serve a model beside others; `localllm` is what is served already, or the default."""
        name = request.match_info["id"]
        if name != WHATEVER:
            wanted = msgspec.structs.replace(wanted, model=name)
        return await self._operations.orders.serve(wanted)

    async def pin(self, request: web.Request) -> PinReply:
        return self._operations.pin(request.match_info["id"], pinned=True)

    async def unpin(self, request: web.Request) -> PinReply:
        return self._operations.pin(request.match_info["id"], pinned=False)

    async def unload(self, request: web.Request) -> StopReply:
        return await self._operations.stop(request.match_info["id"])

    async def shutdown(self, _request: web.Request, wanted: ShutdownRequest) -> ShutdownReply:
        if wanted.forget:
            self._operations.orders.asks.clear()
            pulls = self._operations.pulls
            pulls.pause_all("the daemon was told to stop")
            pulls.book.drop_wishes(pulls.book.wishes())
        self._shut_down()
        return ShutdownReply(pid=self._operations.pid)


def _shown(capturing: Capturing | None) -> CaptureView:
    if capturing is None:
        raise NotFound(
            "There was no capture.",
            why="none has been started since the daemon runs",
            fix="POST /api/v1/capture starts one",
        )
    return render_capture(capturing)
