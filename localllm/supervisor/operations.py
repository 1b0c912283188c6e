"""What a person can ask of the daemon beside serving: stop, pin, show, pull. No HTTP here."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import anyio
import msgspec

from localllm import __version__
from localllm.api.engine_views import BuildView
from localllm.api.status_views import DaemonView, InstanceView, StatusView
from localllm.api.views import (
    PinReply,
    PlanRequest,
    PlanView,
    ProbeView,
    ServeReply,
    ServeRequest,
    StopReply,
)
from localllm.engine_client.client import EngineClient
from localllm.engine_client.slots import look_at_slots
from localllm.engines.engine_metrics import parse_metrics
from localllm.events import Topic
from localllm.planning.desk import Desk
from localllm.planning.engine_views import render_builds
from localllm.planning.showing import show_plan
from localllm.planning.views import render_machine
from localllm.supervisor.accounts import held
from localllm.supervisor.arranging import work_out
from localllm.supervisor.asks import Asks
from localllm.supervisor.config_view import render_state
from localllm.supervisor.engine_fetching import EngineFetching
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.glances import Glances
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.instance_view import render_instance
from localllm.supervisor.machine_watch import MachineWatch
from localllm.supervisor.naming import Naming
from localllm.supervisor.order_terms import How
from localllm.supervisor.orders import Orders
from localllm.supervisor.pulls import Pulls
from localllm.supervisor.reloading import Reloading
from localllm.supervisor.storekeeping import Storekeeping
from localllm.supervisor.wishes import Wishes

_TOLD_WITHIN_S = 0.5


@dataclass(slots=True)
class Operations:
    """The control API's verbs."""

    desk: Desk
    fleet: Fleet
    endpoint: str
    pid: int
    started_at: float
    """On the loop's clock."""

    watch: MachineWatch
    orders: Orders = field(init=False)
    naming: Naming = field(init=False)
    pulls: Pulls = field(init=False)
    store: Storekeeping = field(init=False)
    wishes: Wishes = field(init=False)
    engines: EngineFetching = field(init=False)
    glances: Glances = field(init=False)
    reloading: Reloading = field(init=False)

    def __post_init__(self) -> None:
        self.orders = Orders(self.desk, self.fleet, Asks(self.desk.paths.serving))
        self.reloading = Reloading(
            self.desk.current, self.desk.environment, self.fleet, self.orders
        )
        self.orders.fresh = self.reloading.look
        self.naming = Naming(self.desk, self.fleet, self.orders.asks)
        self.glances = Glances(self.watch)
        self.reloading.when_changed.append(lambda _old, _new: self.naming.forget())
        self.pulls = Pulls(self.desk, self.fleet.tools.bus)
        self.reloading.when_changed.append(lambda _old, _new: self.pulls.retune())
        self.wishes = Wishes(self.fleet, self.orders, self.pulls)
        self.engines = EngineFetching(self.desk, self.pulls)
        self.store = Storekeeping(self.desk, self.fleet, self.orders, self.pulls)

    async def switch(self, request: ServeRequest) -> ServeReply:
        """Serve a model in the place of others, and of what is to be served once it is here.

        Raises:
            LocalLLMError: It cannot be; what was to be served still is.
        """
        async with self.wishes.outdone():
            return await self.orders.serve(request, How.INSTEAD)

    async def builds(self) -> list[BuildView]:
        """List the builds of engines that are here, then those that this machine could have, the best first."""

        def listed() -> list[BuildView]:
            engines, machine = self.desk.engine_desk, self.desk.probe()
            return render_builds(engines, engines.curing(machine, ServeRequest()))

        return await anyio.to_thread.run_sync(listed)

    async def stop(self, name: str) -> StopReply:
        """Stop one model, its requests drained; it is not served again after a restart.

        Raises:
            ModelNotFound: It is not served.
        """
        model = self.fleet.names.require(name).planned.model
        self.orders.asks.drop(model)
        return StopReply(stopped=[*await self.fleet.stop(model, "stopped by the user")])

    def pin(self, name: str, *, pinned: bool) -> PinReply:
        """Have a model stay in memory whatever else is asked for, or let it go again.

        Raises:
            ModelNotFound: It is not served.
        """
        model = self.fleet.names.require(name).planned.model
        alike = [h for h in self.fleet.instances() if h.planned.model == model]
        for hosted in alike:
            hosted.pinned = pinned
        self.orders.asks.pin(model, pinned=pinned)
        topic, why = (Topic.PINNED, "by the user") if pinned else (Topic.UNPINNED, "by the user")
        self.fleet.say(topic, why, alike[0])
        self.fleet.grants.schedule()
        return PinReply(id=alike[0].planned.stored.id, pinned=pinned)

    async def plan(self, request: PlanRequest) -> PlanView:
        await self.reloading.look(request)
        ours = held(self.fleet.instances())
        return await work_out(
            partial(show_plan, self.desk.as_now(), request, reclaimable=ours), self.fleet
        )

    async def hardware(self) -> ProbeView:
        return await anyio.to_thread.run_sync(lambda: render_machine(self.desk.survey().machine))

    async def status(self) -> StatusView:
        return StatusView(
            daemon=self.daemon(),
            hardware=await anyio.to_thread.run_sync(lambda: render_machine(self.desk.probe())),
            warnings=[*self.watch.warnings],
            config=render_state(self.reloading),
            models=[await self._with_use_of_cache(h) for h in self.fleet.instances()],
        )

    def daemon(self) -> DaemonView:
        return DaemonView(
            version=__version__,
            pid=self.pid,
            uptime=anyio.current_time() - self.started_at,
            endpoint=self.endpoint,
            log=str(self.desk.paths.daemon_log),
        )

    async def _with_use_of_cache(self, hosted: Hosted) -> InstanceView:
        """Add what the engine tells of its cache: llama.cpp by its slots, others by their metrics."""
        view = render_instance(self.fleet, hosted, anyio.current_time())
        if not hosted.takes_requests() or (client := self.fleet.client_of(hosted)) is None:
            return view
        used: float | None = None
        with anyio.move_on_after(_TOLD_WITHIN_S):
            used = await _cache_used(client, hosted.planned.plan.context)
        return msgspec.structs.replace(view, kv_used=used)

    def models(self) -> list[InstanceView]:
        now = anyio.current_time()
        return [render_instance(self.fleet, hosted, now) for hosted in self.fleet.instances()]


async def _cache_used(client: EngineClient, context: int) -> float | None:
    slots = await look_at_slots(client)
    if slots is not None:
        return sum(slots.tokens) / context
    text = await client.metrics()
    return None if text is None else parse_metrics(text).kv_used_share
