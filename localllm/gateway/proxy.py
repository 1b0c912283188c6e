"""Chat completions: the engine's bytes, passed on as they come.

Nothing is parsed and rebuilt. Of the request, the model's name and the wish to stream are
read; of a stream, its last bytes, to know whether it ended as it should.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
import anyio
import msgspec
from aiohttp import web

from localllm.engine_client.client import EngineClient
from localllm.errors import BadRequest, EngineGone, LocalLLMError, StillLoading
from localllm.gateway.engine_errors import engine_error
from localllm.gateway.http_errors import openai_error
from localllm.supervisor.lending import Lending

_DONE = b"data: [DONE]"
_TAIL = len(_DONE) + 8
_ENGINES_ERROR = b'data: {"error"'
"""llama.cpp ends a stream that fails with such an event, and without [DONE]."""

_ERROR_BYTES = 1 << 16
_PATIENCE_S = 2.0
"""A stream that has to wait for its model opens after this, so that the client sees life."""

_HEARTBEAT_S = 10.0
_STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
_LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)
"""How a connection fails that the engine had closed: before the first byte of an answer."""


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
        wait_s: How long a request waits for a model that is loading or restarting.
    """

    lending: Lending
    wait_s: float

    async def chat_completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        head = _read_head(body)
        answer = self._stream if head.stream else self._whole
        for pause_s in _PAUSES_S:
            try:
                return await answer(request, head.model, body)
            except _Unreached:
                await anyio.sleep(pause_s)
        return await answer(request, head.model, body)

    async def _whole(self, request: web.Request, model: str | None, body: bytes) -> web.Response:
        async with self.lending.borrow(model, self.wait_s) as client:
            return await _answer_whole(client, request.path, body)

    async def _stream(
        self, request: web.Request, model: str | None, body: bytes
    ) -> web.StreamResponse:
        async with AsyncExitStack() as stack:
            stream: web.StreamResponse | None = None
            try:
                borrowed = self.lending.borrow(model, _PATIENCE_S)
                client = await stack.enter_async_context(borrowed)
            except StillLoading:
                stream = await _open(request)
                try:
                    async with _heartbeat(stream):
                        borrowed = self.lending.borrow(model, self.wait_s)
                        client = await stack.enter_async_context(borrowed)
                except LocalLLMError as error:
                    return await _end_with(stream, error)
            return await _answer_stream(client, request, body, stream)


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


async def _answer_stream(
    client: EngineClient, request: web.Request, body: bytes, stream: web.StreamResponse | None
) -> web.StreamResponse:
    """Pass a stream on; an error before its first byte is an HTTP error, unless it is open."""
    try:
        async with _sent(client, request.path, body) as answer:
            if answer.status != HTTPStatus.OK:
                raise engine_error(answer.status, await answer.content.read(_ERROR_BYTES))
            stream = stream or await _open(request)
            return await _copy(answer.content, stream)
    except LocalLLMError as error:
        if stream is None:
            raise
        return await _end_with(stream, error)


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


async def _copy(source: aiohttp.StreamReader, stream: web.StreamResponse) -> web.StreamResponse:
    tail = last = b""
    while True:
        try:
            chunk = await source.readany()
        except (aiohttp.ClientError, ConnectionError):
            chunk = b""
        if not chunk:
            break
        await stream.write(chunk)
        last, tail = chunk, chunk if len(chunk) >= _TAIL else (tail + chunk)[-_TAIL:]
    if _DONE not in tail[-_TAIL:] and not last.lstrip().startswith(_ENGINES_ERROR):
        if not tail.endswith(b"\n\n"):
            await stream.write(b"\n\n")  # the event that was cut off
        return await _end_with(stream, _gone())
    await stream.write_eof()
    return stream


async def _open(request: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse(headers=_STREAM_HEADERS)
    await stream.prepare(request)
    return stream


async def _end_with(stream: web.StreamResponse, error: LocalLLMError) -> web.StreamResponse:
    """End an open stream with an error event, in OpenAI's shape: the client raises it."""
    body = msgspec.json.encode(openai_error(error).body)
    await stream.write(b"data: " + body + b"\n\n")
    await stream.write_eof()
    return stream


@asynccontextmanager
async def _heartbeat(stream: web.StreamResponse) -> AsyncIterator[None]:
    """Write a comment now and then, which every SSE reader skips, while the block waits."""

    async def beat() -> None:
        with suppress(ConnectionError):  # the client has gone: the request is being cancelled
            while True:
                await stream.write(b": the model is loading\n\n")
                await anyio.sleep(_HEARTBEAT_S)

    failed: LocalLLMError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        try:
            yield
        except LocalLLMError as error:  # out of a task group it would come in an ExceptionGroup
            failed = error
        finally:
            tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed


def _gone(kind: type[EngineGone] = EngineGone) -> EngineGone:
    return kind(
        "The engine ended before its answer was complete.",
        why="its process died or closed the connection",
        fix="send the request again: the model restarts by itself; localllm logs says why it died",
    )
