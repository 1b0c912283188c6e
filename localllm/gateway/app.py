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
from localllm.gateway.client_stream import OpenStreams, Patience
from localllm.gateway.control import Control
from localllm.gateway.endpoints import Endpoints
from localllm.gateway.known_machine import KnownMachine
from localllm.gateway.last_prompts import LastPrompts
from localllm.gateway.metering import Metering, MetricsEndpoint
from localllm.gateway.middleware import guard, sign_answers
from localllm.gateway.models import Models
from localllm.gateway.now_routes import NowRoutes
from localllm.gateway.placing import Placing
from localllm.gateway.relay import Relay
from localllm.gateway.remote import RemoteBackend
from localllm.gateway.request_routes import RequestRoutes
from localllm.supervisor.lending import Lending
from localllm.supervisor.operations import Operations

_BODIES_BYTES = 512 << 20
"""That the bodies of all requests may take together, those in the queues among them."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the gateway is made of.

    Args:
        rules: Known once the port is bound.
        started: Unix seconds.
        environment: With the remote's key, which engines do not get to see.
        streams: Kept alive by a task of the daemon's.
    """

    operations: Operations
    settings: Settings
    connect: Callable[[LaunchSpec], EngineClient]
    rules: Callable[[], Rules]
    shut_down: Callable[[], None]
    started: int
    environment: Mapping[str, str]
    metering: Metering
    placing: Placing
    streams: OpenStreams = field(default_factory=lambda: OpenStreams(Patience()))

    def application(self) -> web.Application:
        fleet = self.operations.fleet
        supervision = self.settings.supervision
        lending = Lending(
            fleet, self.connect, self.operations.orders.load, supervision.max_requests
        )
        remote = self._remote()
        relay = Relay(lending, supervision.request_wait_s, self.placing, remote)
        most_bytes = self.settings.max_body_mib << 20
        prompts = LastPrompts()
        self.metering.requests.when_one_ends.append(prompts.finished)
        endpoints = Endpoints(
            relay,
            self.operations.naming,
            self.metering,
            self.streams,
            most_bytes,
            prompts,
            may_send_grammar=self.settings.allow_grammars,
            remove_billing_header=self.settings.prefix.remove_billing_header,
        )
        machine = KnownMachine(self.operations.desk.probe)
        metrics = MetricsEndpoint(self.operations, self.metering, machine, self.started)
        models = Models(self.operations.naming, self.started)
        needs_key = self.settings.auth == "always"
        agents = AgentSettings(self.operations, models, needs_key=needs_key)
        shown = RequestRoutes(self.metering.requests, prompts)
        now = NowRoutes(self.operations, self.metering, machine)
        control = Control(self.operations, self.metering, agents, (shown, now), self.shut_down)
        app = web.Application(
            middlewares=[guard(self.rules)],  # type: ignore[list-item]
            client_max_size=most_bytes,
        )
        app[MEMORY] = Memory(max(_BODIES_BYTES, 2 * most_bytes))
        app.on_response_prepare.append(sign_answers(self.rules))
        app.on_cleanup.append(lambda _app: self.metering.aclose())
        if remote is not None:
            app.on_cleanup.append(lambda _app: remote.aclose())
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

    def _remote(self) -> RemoteBackend | None:
        remote = self.settings.remote
        if remote is None or not remote.when:
            return None
        return RemoteBackend(remote, self.environment)

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
