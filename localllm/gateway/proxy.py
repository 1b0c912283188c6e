"""Chat completions: the engine's bytes, passed on as they come.

Nothing is parsed and rebuilt. Of the request, the model's name and the wish to stream are
read; of a stream, its last bytes, to know whether it ended as it should. One field is added
where a draft would hurt, see drafting.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus

import aiohttp
import anyio
import msgspec
from aiohttp import web

from localllm.engine_client.client import EngineClient
from localllm.errors import BadRequest, ContextTooLong, EngineGone, LocalLLMError
from localllm.gateway.asking import asking_of
from localllm.gateway.drafting import without_draft
from localllm.gateway.engine_errors import engine_error
from localllm.gateway.middleware import SERVED_BY
from localllm.gateway.remote import Asked, RemoteBackend
from localllm.gateway.streams import OPENED, copy_stream, end_with, open_stream, showing_life
from localllm.supervisor.lending import Asking, Lending, Lent

_ERROR_BYTES = 1 << 16
_PATIENCE_S = 2.0
"""A stream that has to wait for its model opens after this, so that the client sees life."""

_LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)
"""How a connection fails that the engine had closed: before the first byte of an answer."""


_LONGER_THAN_ANY = 1 << 60
"""Tokens: leads to the instance for long prompts, if there is one."""

_PAUSES_S = (0.05, 0.2, 0.5, 1.0)
"""For the daemon to learn that an engine which nobody reaches has ended: then its successor, for
which the request waits, is sent it. A crash is noticed within milliseconds, on a busy machine later."""


class _Unreached(EngineGone):
    """Nothing of the request arrived, so sending it again cannot end a second engine."""

    own_code = "engine_gone"


class _Head(msgspec.Struct):
    """All that the gateway needs to know of a request."""

    model: str | None = None
    stream: bool | None = None


@dataclass(frozen=True, slots=True)
class Proxy:
    """Passes requests to the instances that answer to their model.

    Args:
        wait_s: How long a request waits for a model that loads, restarts or is busy.
        remote: Where requests go that no instance can answer; None keeps them all here.
    """

    lending: Lending
    wait_s: float
    remote: RemoteBackend | None = None

    async def chat_completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        head = _read_head(body)
        asking = asking_of(head.model, body, request.headers, request.remote)
        try:
            return await self._here(request, head, body, asking)
        except LocalLLMError as error:  # no byte of an answer has been sent
            return await self._elsewhere(request, head, body, error)

    async def _here(
        self, request: web.Request, head: _Head, body: bytes, asking: Asking
    ) -> web.StreamResponse:
        try:
            return await self._retried(request, head, body, asking)
        except ContextTooLong:
            longer = replace(asking, tokens=_LONGER_THAN_ANY)
            names = self.lending.fleet.names
            if names.find(head.model, longer.tokens) is names.find(head.model):
                raise
            return await self._retried(request, head, body, longer)

    async def _retried(
        self, request: web.Request, head: _Head, body: bytes, asking: Asking
    ) -> web.StreamResponse:
        answer = self._stream if head.stream else self._whole
        for pause_s in _PAUSES_S:
            try:
                return await answer(request, body, asking)
            except _Unreached:
                await anyio.sleep(pause_s)
        return await answer(request, body, asking)

    async def _elsewhere(
        self, request: web.Request, head: _Head, body: bytes, error: LocalLLMError
    ) -> web.StreamResponse:
        """Have the remote answer, or say why nobody does."""
        fleet = self.lending.fleet
        try:
            if self.remote is None or fleet.closing:
                raise error
            asked = Asked(request, body, head.model, is_stream=bool(head.stream))
            return await self.remote.answer(asked, fleet.names.find(head.model), error)
        except LocalLLMError as failure:
            stream = request.get(OPENED)
            if stream is None:
                raise
            return await end_with(stream, failure)

    async def _whole(self, request: web.Request, body: bytes, asking: Asking) -> web.Response:
        async with self.lending.borrow(asking, self.wait_s) as lent:
            request[SERVED_BY] = lent.instance
            answer = await _answer_whole(lent.client, request.path, _sendable(lent, body))
            lent.hosted.flow.moved += 1
            return answer

    async def _stream(
        self, request: web.Request, body: bytes, asking: Asking
    ) -> web.StreamResponse:
        async with AsyncExitStack() as stack:
            async with showing_life(request, after_s=_PATIENCE_S):
                borrowed = self.lending.borrow(asking, self.wait_s)
                lent = await stack.enter_async_context(borrowed)
            request[SERVED_BY] = lent.instance
            return await _answer_stream(lent, request, _sendable(lent, body))


def _sendable(lent: Lent, body: bytes) -> bytes:
    return without_draft(body) if lent.drafts else body


def _read_head(body: bytes) -> _Head:
    try:
        return msgspec.json.decode(body, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(
            "The body is not a chat completion request.", why=str(error), fix="correct the JSON"
        ) from error


async def _answer_whole(client: EngineClient, path: str, body: bytes) -> web.Response:
    async with _sent(client, path, body) as answer:
        try:
            text = await answer.read()
        except aiohttp.ClientError as error:
            raise _gone() from error
        if answer.status != HTTPStatus.OK:
            raise engine_error(answer.status, text[:_ERROR_BYTES])
        return web.Response(body=text, content_type="application/json")


async def _answer_stream(lent: Lent, request: web.Request, body: bytes) -> web.StreamResponse:
    async with _sent(lent.client, request.path, body) as answer:
        if answer.status != HTTPStatus.OK:
            raise engine_error(answer.status, await answer.content.read(_ERROR_BYTES))
        return await copy_stream(
            answer.content, await open_stream(request), _gone, lent.hosted.flow
        )


@asynccontextmanager
async def _sent(
    client: EngineClient, path: str, body: bytes
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send, and once more on a fresh connection if the pooled one was dead.

    Leaving the block before the answer's end closes the connection, which makes llama.cpp
    stop generating.
    """
    try:
        answer = await _post(client, path, body)
    except (aiohttp.ClientError, OSError) as error:
        raise _gone() from error
    async with answer:
        yield answer


async def _post(client: EngineClient, path: str, body: bytes) -> aiohttp.ClientResponse:
    try:
        return await client.post(path, body)
    except aiohttp.ClientConnectorError as error:
        raise _gone(_Unreached) from error
    except _LOST:
        return await client.post(path, body, fresh=True)


def _gone(kind: type[EngineGone] = EngineGone) -> EngineGone:
    return kind(
        "The engine ended before its answer was complete.",
        why="its process died or closed the connection",
        fix="send the request again: the model restarts by itself; localllm logs says why it died",
    )
