"""What a person can ask of the daemon: serve, stop, show. The control API's verbs, without HTTP."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import anyio
import msgspec

from localllm import __version__
from localllm.api.status_views import (
    DaemonView,
    InstanceView,
    StatusView,
)
from localllm.api.views import PlanRequest, PlanView, ProbeView, ServeReply, ServeRequest, StopReply
from localllm.engines.engine_metrics import parse_metrics
from localllm.errors import NotReady
from localllm.events import ModelId
from localllm.planning.desk import Desk
from localllm.planning.planner import require_fit, serving_of
from localllm.planning.showing import show_plan
from localllm.planning.views import render_machine
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.instance_view import render_instance
from localllm.supervisor.remembered import read_remembered, write_remembered

_METRICS_WITHIN_S = 0.5
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Operations:
    """Serves the control API. Slow work, the probe above all, runs in threads."""

    desk: Desk
    fleet: Fleet
    endpoint: str
    pid: int
    started_at: float
    """On the loop's clock."""

    _asked: dict[ModelId, ServeRequest] = field(default_factory=dict[ModelId, ServeRequest])
    _resumed: anyio.Event = field(default_factory=anyio.Event)
    _one_at_a_time: anyio.Lock = field(default_factory=anyio.Lock)

    async def serve(self, request: ServeRequest) -> ServeReply:
        """Plan and start what is asked for; return as soon as it is on its way.

        A request without a model, or for one that is served, is content with what runs; one
        that also names a context or an engine changes that and leaves the rest as it was.

        Raises:
            LocalLLMError: It cannot be: no such model, no memory, no engine.
        """
        await self._resumed.wait()
        self._raise_if_closing()
        served = self._meant(request)
        if served is None:
            return await self._serve(request)
        asked = self._asked.get(served.planned.model, ServeRequest())
        wanted = _with_changes(asked, msgspec.structs.replace(request, model=None))
        if wanted == asked and self.fleet.is_on_its_way(served):
            return _reply(served, already=True)
        return await self._serve(wanted)

    def _meant(self, request: ServeRequest) -> Hosted | None:
        """Find what is served and meant: by the name that clients use, by what was asked, by no name.

        What is asked again in the same words is the same, also if more or less memory is free
        by now; and the id of a file given by its path is no name that catalog or disk know.
        """
        for model, asked in self._asked.items():
            if asked == request:
                return self.fleet.find(model)
        if request.model is not None:
            return self.fleet.find(request.model)
        return next((h for h in self.fleet.instances() if not h.retired), None)

    async def resume(self) -> None:
        """Serve again what an earlier daemon served; what cannot be served is said and kept.

        Kept, since what is in the way may be gone the next time: a driver that was not up yet.
        """
        try:
            for request in read_remembered(self.desk.paths.serving):
                await self._resume_one(request)
        finally:
            self._resumed.set()

    async def _resume_one(self, request: ServeRequest) -> None:
        try:
            await self._serve(request)
        except Exception as error:  # noqa: BLE001  # one model must not cost the others their daemon
            _log.warning("not served again: model=%s %s", request.model, error, exc_info=True)
            self._asked[ModelId(request.model or "")] = request

    async def _serve(self, request: ServeRequest) -> ServeReply:
        async with self._one_at_a_time:  # two plans at once would spend the same memory
            held = self.fleet.held()
            planned = await anyio.to_thread.run_sync(
                lambda: self.desk.plan(request, reclaimable=held)
            )
            require_fit(planned)
            self._raise_if_closing()
            silence_s = self.desk.settings.supervision.start_silence_s
            hosted, started = self.fleet.serve(planned, serving_of(planned, silence_s=silence_s))
            self._asked = {m: r for m, r in self._asked.items() if r.model != request.model}
            self._asked[planned.model] = request
            self._remember()
        return _reply(hosted, already=not started)

    def _raise_if_closing(self) -> None:
        if self.fleet.closing:
            raise NotReady("The daemon stops.", why="it was told to", fix="localllm up, after that")

    async def stop(self, name: str) -> StopReply:
        """Stop one model, its requests drained; it is not served again after a restart.

        Raises:
            ModelNotFound: It is not served.
        """
        model = self.fleet.require(name).planned.model
        self._asked.pop(model, None)
        self._remember()
        return StopReply(stopped=[*await self.fleet.stop(model, "stopped by the user")])

    def forget_all(self) -> None:
        """Serve nothing after the next start: the user has asked for the end."""
        self._asked.clear()
        self._remember()

    async def plan(self, request: PlanRequest) -> PlanView:
        held = self.fleet.held()
        return await anyio.to_thread.run_sync(
            lambda: show_plan(self.desk, request, reclaimable=held)
        )

    async def hardware(self) -> ProbeView:
        return await anyio.to_thread.run_sync(lambda: render_machine(self.desk.survey().machine))

    async def status(self) -> StatusView:
        return StatusView(
            daemon=DaemonView(
                version=__version__,
                pid=self.pid,
                uptime=anyio.current_time() - self.started_at,
                endpoint=self.endpoint,
                log=str(self.desk.paths.daemon_log),
            ),
            hardware=await anyio.to_thread.run_sync(lambda: render_machine(self.desk.probe())),
            models=[await self._with_use_of_cache(h) for h in self.fleet.instances()],
        )

    async def _with_use_of_cache(self, hosted: Hosted) -> InstanceView:
        """Add what the engine tells Prometheus of its cache; llama.cpp's server does not."""
        view = render_instance(self.fleet, hosted)
        if not hosted.takes_requests() or (client := self.fleet.client_of(hosted)) is None:
            return view
        text: str | None = None
        with anyio.move_on_after(_METRICS_WITHIN_S):
            text = await client.metrics()
        used = None if text is None else parse_metrics(text).kv_used_share
        return msgspec.structs.replace(view, kv_used=used)

    def models(self) -> list[InstanceView]:
        return [render_instance(self.fleet, hosted) for hosted in self.fleet.instances()]

    def _remember(self) -> None:
        """Write what was asked for; of one model the newest, which replaces the others.

        A disk that is full costs the memory of it, not the model that serves.
        """
        try:
            write_remembered(self.desk.paths.serving, list(self._asked.values()))
        except OSError as error:
            _log.warning("what is served is not remembered: %s", error)


def _with_changes(asked: ServeRequest, changes: ServeRequest) -> ServeRequest:
    """Put what `changes` says over what was asked for; what it leaves open stays."""
    said = {
        name: value
        for name in changes.__struct_fields__
        if (value := getattr(changes, name)) is not None and value is not False
    }
    return msgspec.structs.replace(asked, **said)


def _reply(hosted: Hosted, *, already: bool) -> ServeReply:
    planned = hosted.planned
    return ServeReply(
        id=planned.stored.id,
        instance=hosted.id,
        already=already,
        stand_in=planned.stored.stand_in,
        reason=planned.plan.reason,
    )
