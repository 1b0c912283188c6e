"""Has a model at hand for a check: where it is served, beside the others, or in their place and back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio

from localllm.api.views import ServeRequest
from localllm.errors import DoesNotFit, ModelNotFound
from localllm.gateway.check_steps import Run
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.operations import Operations
from localllm.supervisor.visiting import Visiting, name_of, require_writing, until_ready

_CONTEXT = {True: 2048, False: 4096}
"""Of one that is served for its check alone, by whether that is quick."""

_BROUGHT_BACK_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class CheckGuests:
    """Disturbs nobody unless it was told to."""

    operations: Operations

    @asynccontextmanager
    async def at_hand(self, run: Run, name: str) -> AsyncGenerator[Hosted]:
        """Find who answers to a name, or have it served for as long as it takes."""
        hosted, request = await self._meant(name, quick=run.request.quick)
        if hosted is not None:
            require_writing(hosted.planned)
            run.tell(f"{name_of(hosted)}: it is served already")
            await until_ready(hosted)
            yield hosted
            return
        run.tell(f"{name}: it is loaded beside what is served")
        visiting = Visiting(self.operations.fleet, self.operations.orders)
        async with AsyncExitStack() as stack:
            try:
                hosted = await stack.enter_async_context(visiting.guest(request))
            except DoesNotFit:
                if not run.request.switch:
                    raise
                hosted = await stack.enter_async_context(self._in_their_place(run, request))
            yield hosted

    async def _meant(self, name: str, *, quick: bool) -> tuple[Hosted | None, ServeRequest]:
        """Find who serves it; what would have to be asked for where nobody does."""
        served, wanted = self.served(name), None
        if served is None:
            try:
                resolved = await self.operations.naming.resolve(name)
            except ModelNotFound:  # a path, or what a repository's listing would have to say
                resolved = None
            if resolved is not None:
                served = self.operations.fleet.names.find(resolved.name)
                wanted = resolved.wanted
        request = wanted or ServeRequest(model=name)
        if request.context is None and request.profile is None:
            request = ServeRequest(
                model=request.model, quant=request.quant, context=_CONTEXT[quick], parallel=1
            )
        return served, request

    def served(self, name: str) -> Hosted | None:
        """Find who is served under a name, or was asked for with it."""
        operations = self.operations
        meant = operations.orders.asks.model_of(ServeRequest(model=name))
        return operations.fleet.names.find(meant or name)

    @asynccontextmanager
    async def _in_their_place(self, run: Run, request: ServeRequest) -> AsyncGenerator[Hosted]:
        """Switch to it, and back."""
        operations = self.operations
        current = operations.fleet.names.current
        former = None if current is None else operations.orders.asks.find(current)
        run.tell(f"{request.model}: it is served in the place of {current}, for the check")
        reply = await operations.switch(request)
        try:
            hosted = operations.fleet.names.require(reply.instance)
            await until_ready(hosted)
            if current is not None and former is not None:
                operations.orders.asks.stands_in(hosted.planned.model, current, former)
            yield hosted
        finally:
            with anyio.move_on_after(_BROUGHT_BACK_WITHIN_S, shield=True):
                if former is None:
                    await operations.stop(reply.id)
                else:
                    run.tell(f"{current}: it is brought back")
                    await operations.switch(former)
