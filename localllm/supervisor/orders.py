"""What is to be served: orders of people, of requests that name a model, of an earlier daemon."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import msgspec

from localllm.api.views import ServeReply, ServeRequest
from localllm.errors import ModelNotFound, NotReady
from localllm.events import Decided, ModelId, StateChanged, Topic
from localllm.events import ModelState as S
from localllm.planning.desk import Desk
from localllm.planning.planner import Planned, serving_of
from localllm.planning.prompt_keeping import Kept, how_prompts_are_kept
from localllm.store.names import is_a_path
from localllm.supervisor.arranging import arrange, arrange_long
from localllm.supervisor.asks import Asks
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted, Terms
from localllm.supervisor.order_terms import How, terms_of
from localllm.supervisor.order_words import reply_of, why_less, with_changes
from localllm.supervisor.resolving import WHATEVER
from localllm.supervisor.routing import Lane

_log = logging.getLogger(__name__)

_LEAST_CONTEXT = 2048
"""Of what is of use to anybody; below it a smaller quantization is tried."""


async def _as_it_is(_request: ServeRequest) -> None:
    """Leave the settings as they are."""


@dataclass(slots=True)
class Orders:
    """Plans one after the other, and hands what comes of it to the fleet.

    Planning is slow, the probe above all: it runs in threads.
    """

    desk: Desk
    fleet: Fleet
    asks: Asks
    fresh: Callable[[ServeRequest], Awaitable[None]] = _as_it_is
    """Has the settings read, before what a person wants is planned by them."""

    _resumed: anyio.Event = field(default_factory=anyio.Event)
    _one_at_a_time: anyio.Lock = field(default_factory=anyio.Lock)
    """Two plans at once would spend the same memory."""

    _loaded: dict[str, ModelId] = field(default_factory=dict[str, ModelId])
    """By the name that a request gave, what was loaded for it."""

    async def serve(self, request: ServeRequest, how: How = How.BESIDE) -> ServeReply:
        """Plan and start what is asked for; return as soon as it is on its way.

        A request without a model, or for one that is served, is content with what runs; one
        that also names a context or an engine changes that and leaves the rest as it was.

        Raises:
            LocalLLMError: It cannot be: no such model, no memory, no engine.
        """
        await self._resumed.wait()
        await self.fresh(request)
        self._raise_if_closing()
        served = self._meant(request)
        if served is None:
            return await self._serve(request, how)
        asked = self.asks.find(served.planned.model)
        if asked is None:  # it failed to take over, so that nothing is remembered of it
            return await self._serve(request, how)
        wanted = with_changes(asked, msgspec.structs.replace(request, model=None))
        if wanted != asked or not self.fleet.is_on_its_way(served):
            return await self._serve(wanted, how)
        self.fleet.prefer(served, self._terms(wanted, how, served.terms.lane))
        self._note(served, wanted, How.AGAIN)
        return reply_of(served, already=True)

    def _meant(self, request: ServeRequest) -> Hosted | None:
        """Find what is served and meant: by the name that clients use, by what was asked, by no name.

        What is asked again in the same words is the same, also if more or less memory is free
        by now; and the id of a file given by its path is no name that catalog or disk know.
        """
        model = self.asks.model_of(request)
        if model is not None:
            return self.fleet.names.find(model)
        return self.fleet.names.find(request.model)

    async def load(self, name: str, wanted: ServeRequest | None = None) -> ModelId:
        """See to it that what a request names is served; for one that was unloaded, plan anew.

        Right after a start it waits until what was served before is on its way again.

        Args:
            wanted: What the name stands for, if it stands for more than a model.

        Returns:
            The name that it answers to.

        Raises:
            ModelNotFound: It is not installed, or is not to be loaded for a request.
            LocalLLMError: It cannot be served: no memory, no engine.
        """
        await self._resumed.wait()
        known = self.fleet.names.find(self._loaded.get(name, name))
        if known is not None and known.refused is None:
            return known.planned.model
        wanted = wanted or ServeRequest(model=name)
        if known is None:
            self._require_loadable(name, wanted)
        asked = None if known is None else self.asks.find(known.planned.model)
        async with self._one_at_a_time:
            found = self.fleet.names.find(self._loaded.get(name, name))
            if found is not None and found.refused is None:
                return found.planned.model  # somebody else's request was quicker
            by_person = known is not None and self.asks.is_for_good(known.planned.model)
            how = How.AGAIN if by_person else How.FOR_A_REQUEST
            reply = await self._serve_alone(asked or wanted, how)
        self._loaded[name] = ModelId(reply.id)
        return ModelId(reply.id)

    def _require_loadable(self, name: str, wanted: ServeRequest) -> None:
        """Let requests name what is installed, and no file of this computer.

        A profile of the user's own may have a file for its model: the user has named that.

        Raises:
            ModelNotFound: It does neither, or the user does not want it.
        """
        model = wanted.model or ""
        is_here = "/" in model and os.path.exists(model)  # noqa: PTH110  # Path's raises for long names
        allowed = self.desk.settings.supervision.load_on_request and name != WHATEVER
        if not allowed or is_a_path(model) or is_here:
            raise ModelNotFound(
                f"The model {name!r} is not loaded for a request.",
                why="load_on_request is off, or it is a path",
                fix=f"localllm up {name}",
            )

    @asynccontextmanager
    async def held_up(self) -> AsyncGenerator[None]:
        """Plan and start nothing new for as long as the block lasts."""
        await self._resumed.wait()
        async with self._one_at_a_time:
            yield

    async def resume(self) -> None:
        """Serve again what an earlier daemon served; what cannot be served is said and kept.

        Kept, since what is in the way may be gone the next time: a driver that was not up yet.
        """
        remembered = self.asks.restore()
        try:
            for request in remembered.serving:
                await self._resume_one(request)
        finally:
            self._resumed.set()

    async def _resume_one(self, request: ServeRequest) -> None:
        try:
            await self._serve(request, How.AGAIN)
        except Exception as error:  # noqa: BLE001  # one model must not cost the others their daemon
            _log.warning("not served again: model=%s %s", request.model, error, exc_info=True)

    async def serve_less(self, hosted: Hosted) -> ServeReply | None:
        """Start a model again with half the context, or with the next smaller quantization.

        Returns:
            None where there is nothing less, or nobody asked for the model.

        Raises:
            LocalLLMError: That cannot be served either.
        """
        asked = self.asks.find(hosted.planned.model)
        less = None if asked is None else self._less(asked, hosted.planned)
        if less is None:
            return None
        self.fleet.say(Topic.SMALLER, why_less(less, hosted.planned), hosted)
        is_for_good = self.asks.is_for_good(hosted.planned.model)
        return await self._serve(less, How.AGAIN if is_for_good else How.FOR_A_REQUEST)

    def _less(self, asked: ServeRequest, planned: Planned) -> ServeRequest | None:
        context = planned.plan.context // 2
        if context >= _LEAST_CONTEXT:
            return msgspec.structs.replace(asked, context=context)
        quant = self.desk.smaller_quant(asked, planned.stored.file_bytes)
        return None if quant is None else msgspec.structs.replace(asked, quant=quant)

    async def serve_anew(self, model: ModelId) -> None:
        """Plan what is served again, by the settings of now; until that is ready it serves on.

        One whose profile has another model by now is replaced by that, as by a switch.

        Raises:
            LocalLLMError: It cannot be served so.
        """
        await self._resumed.wait()
        async with self._one_at_a_time:
            asked = self.asks.find(model)
            if asked is None or self.fleet.closing:
                return
            how = How.AGAIN if self.asks.is_for_good(model) else How.FOR_A_REQUEST
            resolved, _ = await anyio.to_thread.run_sync(self.desk.resolved, asked)
            is_another = self.fleet.names.find(resolved.model) is None
            if is_another and self.fleet.names.current == model:
                how = How.INSTEAD
            await self._serve_alone(asked, how)

    async def _serve(self, request: ServeRequest, how: How) -> ServeReply:
        async with self._one_at_a_time:  # two plans at once would spend the same memory
            return await self._serve_alone(request, how)

    async def _serve_alone(self, request: ServeRequest, how: How) -> ServeReply:
        resolved, _ = await anyio.to_thread.run_sync(self.desk.resolved, request)
        beside = how is not How.INSTEAD and self.fleet.names.find(resolved.model) is None
        planned = await arrange(self.desk, self.fleet, request, beside=beside)
        long_context = await anyio.to_thread.run_sync(self.desk.long_context, request)
        long = None
        if long_context is not None:
            for_long = msgspec.structs.replace(request, context=long_context)
            long = await arrange_long(self.desk, self.fleet, for_long, planned)
        self._raise_if_closing()
        hosted, started = self._host(planned, self._terms(resolved, how, Lane.MAIN))
        if long is not None:
            self._host(long, self._terms(resolved, how, Lane.LONG))
        else:
            self._end_the_long(planned.model)
        self._note(hosted, request, how)
        return reply_of(hosted, already=not started)

    def _end_the_long(self, model: ModelId) -> None:
        """Nobody wants an instance for long prompts any more."""
        for hosted in self.fleet.instances():
            if hosted.planned.model == model and hosted.terms.lane is Lane.LONG:
                self.fleet.retire(hosted, "its profile has no long_context any more")

    def _host(self, planned: Planned, terms: Terms) -> tuple[Hosted, bool]:
        settings = self.desk.settings
        # how much room they may take can change while an engine runs
        wanted = msgspec.structs.replace(settings.prefix, max_gib=None)
        keeping = how_prompts_are_kept(planned, wanted)
        serving = serving_of(
            planned,
            silence_s=settings.supervision.start_silence_s,
            prefix_folder=self.fleet.tools.prefix_folder if keeping.kept is Kept.SAVED else None,
            pins_slots=keeping.pins_slots,
        )
        hosted, started = self.fleet.serve(planned, serving, terms)
        hosted.pinned = self.asks.is_pinned(planned.model)
        return hosted, started

    def _note(self, hosted: Hosted, request: ServeRequest, how: How) -> None:
        model, replaced = hosted.planned.model, hosted.replaces
        if how is How.FOR_A_REQUEST:
            self.asks.add_passing(model, request)
            self.fleet.say(
                Topic.LOADED, f"a request named {request.model or request.profile}", hosted
            )
        elif replaced:
            self.asks.try_(hosted.id, model, request, replaced - {model})
            if hosted.takes_requests():
                self.asks.succeeded(hosted.id)
        else:
            self.asks.add(model, request)

    async def run(self) -> None:
        """See what came of what was tried, until cancelled."""
        with self.fleet.tools.bus.subscribe() as events:
            async for envelope in events:
                match envelope.event:
                    case StateChanged(instance, new=S.READY):
                        self.asks.succeeded(instance)
                    case StateChanged(instance, new=S.FAILED):
                        self.asks.failed(instance)
                    case Decided(Topic.REFUSED, instance=refused) if refused is not None:
                        self.asks.failed(refused)
                    case _:
                        continue

    def _terms(self, resolved: ServeRequest, how: How, lane: Lane) -> Terms:
        keep_alive = self.desk.settings.supervision.keep_alive
        return terms_of(resolved, how, lane, keep_alive, self.desk.check_before(resolved))

    def _raise_if_closing(self) -> None:
        if self.fleet.closing:
            raise NotReady("The daemon stops.", why="it was told to", fix="localllm up, after that")
