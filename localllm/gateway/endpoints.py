"""The endpoints under /v1 that a model answers: what each asks of an engine, and in whose words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from localllm.errors import BadRequest
from localllm.gateway.asking import asking_of
from localllm.gateway.client_stream import ClientStream, Patience
from localllm.gateway.outputs import Comments, Output, StreamBytes, WholeBytes
from localllm.gateway.relay import Call, Relay
from localllm.metrics.callers import caller_of
from localllm.metrics.live import Api, Live
from localllm.metrics.requests import Requests


class _Head(msgspec.Struct):
    """All that the gateway needs to know of a request."""

    model: str | None = None
    stream: bool | None = None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Handlers."""

    relay: Relay
    requests: Requests
    patience: Patience

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/chat/completions", self.chat_completions)]

    async def chat_completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        head = _read_head(body)
        return await self._passed_on(request, Api.CHAT, head, body)

    async def _passed_on(
        self, request: web.Request, api: Api, head: _Head, body: bytes
    ) -> web.StreamResponse:
        asking = asking_of(head.model, body, request.headers, request.remote)
        stream = bool(head.stream)
        caller = caller_of(request.headers.get("User-Agent"))
        with self.requests.following(api, head.model, caller, stream=stream) as live:
            output = self._output(request, live, stream=stream)
            call = Call(request, request.path, body, asking, output, live)
            return await self.relay.answer(call)

    def _output(
        self,
        request: web.Request,
        live: Live,
        *,
        stream: bool,
        reshape: Callable[[bytes], bytes] | None = None,
    ) -> Output:
        if stream:
            return StreamBytes(live, ClientStream(request, Comments(), self.patience))
        return WholeBytes(live, reshape)


def _read_head(body: bytes) -> _Head:
    try:
        return msgspec.json.decode(body, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(
            "The body is not a chat completion request.", why=str(error), fix="correct the JSON"
        ) from error
