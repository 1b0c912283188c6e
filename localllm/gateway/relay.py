"""Finds who answers a request, has it sent there, and what is to be done when that fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import anyio
from aiohttp import web

from localllm.engine_client.client import EngineClient
from localllm.errors import ContextTooLong, LocalLLMError
from localllm.gateway.drafting import without_draft
from localllm.gateway.manners import for_engine
from localllm.gateway.middleware import SERVED_BY
from localllm.gateway.outputs import Output, Source
from localllm.gateway.placing import Placing
from localllm.gateway.remote import RemoteBackend
from localllm.gateway.sending import Unreached, answer_of, gone
from localllm.gateway.wanting import Wanted
from localllm.metrics.live import Live
from localllm.supervisor.lending import Asking, Lending, Lent
from localllm.supervisor.naming import LONGER_THAN_ANY

_PAUSES_S = (0.05, 0.2, 0.5, 1.0)
"""For the daemon to learn that an engine which nobody reaches has ended: then its successor, for
which the request waits, is sent it. A crash is noticed within milliseconds, on a busy machine later."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, ready to be sent to an engine.

    Args:
        body: For the engine; where the instance counts, `body_for` has the last word.
        wanted: Where it goes there, and how the answer reaches the client.
        may_serve: Raises where the client may not use the model that answers.
    """

    request: web.Request
    body: bytes
    asking: Asking
    wanted: Wanted
    live: Live
    may_serve: Callable[[Lent], None]

    @property
    def output(self) -> Output:
        return self.wanted.output

    @property
    def path(self) -> str:
        return self.wanted.path

    def body_for(self, lent: Lent) -> bytes:
        body = without_draft(self.body) if lent.drafts else self.body
        planned = lent.hosted.planned
        return for_engine(body, planned.choice.installed.engine, lent.hosted.serving.alias)


@dataclass(frozen=True, slots=True)
class Relay:
    """Passes requests to the instances that answer to their model.

    Args:
        wait_s: How long a request that comes now waits for a model that loads, restarts or is busy.
        remote: Where requests go now that no instance can answer; None keeps them all here.
    """

    lending: Lending
    wait_s: Callable[[], float]
    placing: Placing
    remote: Callable[[], RemoteBackend | None] = lambda: None

    async def answer(self, call: Call) -> web.StreamResponse:
        """Answer a request.

        Raises:
            LocalLLMError: Nobody could, and the client has got no byte of an answer.
        """
        with call.output.kept_alive():
            try:
                return await self._here(call)
            except LocalLLMError as error:  # no byte of the engine's answer has been sent
                return await self._elsewhere(call, error)

    async def _here(self, call: Call) -> web.StreamResponse:
        try:
            return await self._retried(call)
        except ContextTooLong:
            asked = call.asking.model
            longer = replace(call, asking=replace(call.asking, tokens=LONGER_THAN_ANY))
            names = self.lending.fleet.names
            if names.find(asked, LONGER_THAN_ANY) is names.find(asked):
                raise
            return await self._retried(longer)

    async def _retried(self, call: Call) -> web.StreamResponse:
        for pause_s in _PAUSES_S:
            try:
                return await self._once(call)
            except Unreached:
                await anyio.sleep(pause_s)
        return await self._once(call)

    async def _once(self, call: Call) -> web.StreamResponse:
        async with self.lending.borrow(call.asking, self.wait_s()) as lent:
            call.may_serve(lent)
            call.request[SERVED_BY] = lent.instance
            hosted = lent.hosted
            planned = hosted.planned
            engine = planned.choice.installed.engine
            call.live.admitted(lent.instance, planned.stored.id, engine)
            body = call.body_for(lent)
            async with self.placing.spot(lent, call.path, body, call.asking) as spot:
                request = answer_of(lent.client, call.path, spot.body, call.wanted.refusal)
                async with request as answer:
                    source = Source(answer, hosted.flow, partial(_broke_off, lent.client))
                    try:
                        response = await call.output.pass_on(source)
                    except BaseException:  # the client has gone
                        if call.live.generated_tokens:  # then the prompt was read as a whole
                            spot.holds_all(call.live)
                        raise
                    spot.holds_all(call.live)
                    return response

    async def _elsewhere(self, call: Call, error: LocalLLMError) -> web.StreamResponse:
        """Have the remote answer, or say why nobody does."""
        fleet, remote = self.lending.fleet, self.remote()
        try:
            if remote is None or fleet.closing or call.output.has_begun:
                raise error
            return await remote.answer(call, fleet.names.find(call.asking.model), error)
        except LocalLLMError as failure:
            return await call.output.fail(failure)


def _broke_off(engine: EngineClient) -> LocalLLMError:
    engine.broke_off()
    return gone()
