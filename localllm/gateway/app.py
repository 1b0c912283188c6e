"""Puts the gateway together: one application, its routes and its guard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from localllm.config.settings import Settings
from localllm.engine_client.client import EngineClient
from localllm.engines.base import LaunchSpec
from localllm.errors import StillLoading
from localllm.events import ModelState
from localllm.gateway.access import Rules
from localllm.gateway.agent_settings import AgentSettings
from localllm.gateway.bodies import MEMORY, Memory
from localllm.gateway.check_routes import CheckRoutes
from localllm.gateway.checking import Checks
from localllm.gateway.client_stream import OpenStreams, Patience
from localllm.gateway.config_routes import ConfigRoutes
from localllm.gateway.control import Control
from localllm.gateway.endpoints import Endpoints
from localllm.gateway.known_machine import KnownMachine
from localllm.gateway.last_prompts import LastPrompts
from localllm.gateway.metering import Metering, MetricsEndpoint
from localllm.gateway.middleware import guard, sign_answers
from localllm.gateway.models import Models
from localllm.gateway.now_routes import NowRoutes
from localllm.gateway.placing import Placing
from localllm.gateway.recording_routes import RecordingRoutes
from localllm.gateway.relay import Relay
from localllm.gateway.remotes import Remotes
from localllm.gateway.request_routes import RequestRoutes
from localllm.gateway.usage_routes import UsageRoutes
from localllm.supervisor.lending import Lending
from localllm.supervisor.operations import Operations

_BODIES_BYTES = 512 << 20
"""That the bodies of all requests may take together, those in the queues among them."""

_CONTROL_BODY_BYTES = 4 << 20
"""Of one call of the control API; what models are sent has the settings' own bound."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the gateway is made of.

    Args:
        settings: As they are now.
        rules: Known once the port is bound.
        started: Unix seconds.
        environment: With the remote's key, which engines do not get to see.
        streams: Kept alive by a task of the daemon's.
    """

    operations: Operations
    settings: Callable[[], Settings]
    connect: Callable[[LaunchSpec], EngineClient]
    rules: Callable[[], Rules]
    shut_down: Callable[[], None]
    started: int
    environment: Mapping[str, str]
    metering: Metering
    placing: Placing
    streams: OpenStreams = field(default_factory=lambda: OpenStreams(Patience()))
    checks: Checks | None = None
    """Examines models; None: that cannot be asked for."""

    def application(self) -> web.Application:
        fleet = self.operations.fleet
        settings = self.settings
        lending = Lending(
            fleet,
            self.connect,
            self.operations.orders.load,
            lambda: settings().supervision.max_requests,
        )
        remotes = Remotes(lambda: settings().remote, self.environment)
        wait_s = lambda: settings().supervision.request_wait_s  # noqa: E731
        relay = Relay(lending, wait_s, self.placing, remotes.now)
        prompts = LastPrompts()
        self.metering.requests.when_one_ends.append(prompts.finished)
        endpoints = Endpoints(
            relay,
            self.operations.naming,
            self.metering,
            self.streams,
            settings,
            prompts,
        )
        machine = KnownMachine(self.operations.desk.probe)
        metrics = MetricsEndpoint(self.operations, self.metering, machine, self.started)
        models = Models(self.operations.naming, self.started)
        agents = AgentSettings(self.operations, models, lambda: settings().auth == "always")
        shown = RequestRoutes(self.metering.requests, prompts)
        now = NowRoutes(self.operations, self.metering, machine)
        recording = RecordingRoutes(self.metering.recordings, self.operations)
        usage = UsageRoutes(self.operations)
        checks = () if self.checks is None else (CheckRoutes(self.checks),)
        extra = (shown, now, recording, ConfigRoutes(self.operations), usage, *checks)
        control = Control(self.operations, self.metering, agents, extra, self.shut_down)
        app = web.Application(
            middlewares=[guard(self.rules)],  # type: ignore[list-item]
            client_max_size=_CONTROL_BODY_BYTES,
        )
        app[MEMORY] = Memory(lambda: max(_BODIES_BYTES, 2 * settings().max_body_mib << 20))
        app.on_response_prepare.append(sign_answers(self.rules))
        app.on_cleanup.append(lambda _app: self.metering.aclose())
        app.on_cleanup.append(lambda _app: remotes.aclose())
        app.add_routes(
            [
                web.get("/healthz", _healthy),
                web.get("/readyz", self._ready),
                web.get("/metrics", metrics.show),
                web.get("/v1/models", models.list),
                web.get("/v1/models/{id}", models.show),
                *endpoints.routes(),
                *control.routes(),
            ]
        )
        return app

    async def _ready(self, _request: web.Request) -> web.Response:
        states = [hosted.state for hosted in self.operations.fleet.instances()]
        if ModelState.READY in states:
            return web.json_response({"status": "ready"})
        raise StillLoading(
            "No model is ready.",
            why=f"models: {', '.join(states) or 'none'}",
            fix="localllm up, or localllm status to see the progress",
        )


async def _healthy(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
