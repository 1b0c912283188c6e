"""Streams of events to a client: how one opens, passes bytes on, and ends, well or not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import anyio
import msgspec
from aiohttp import web

from localllm.errors import LocalLLMError
from localllm.gateway.http_errors import openai_error
from localllm.supervisor.flow import Flow

OPENED = web.RequestKey("opened", web.StreamResponse)
"""Set in a request once its stream is open: from then on an error is an event in it."""

_HEARTBEAT_S = 10.0
_WAITS = b": waiting for the model\n\n"
_DONE = b"data: [DONE]"
_TAIL = len(_DONE) + 8
_ENGINES_ERROR = b'data: {"error"'
"""llama.cpp ends a stream that fails with such an event, and without [DONE]."""

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


async def open_stream(request: web.Request) -> web.StreamResponse:
    """Open the request's stream; it has but one, so a second call finds that."""
    stream = request.get(OPENED)
    if stream is None:
        stream = web.StreamResponse(headers=_HEADERS)
        await stream.prepare(request)
        request[OPENED] = stream
    return stream


@asynccontextmanager
async def showing_life(request: web.Request, *, after_s: float) -> AsyncIterator[None]:
    """While the block waits for long, open the request's stream and write a comment now and then.

    Every reader of server-sent events skips comments.
    """

    async def beat() -> None:
        await anyio.sleep(after_s)
        with suppress(ConnectionError):  # the client has gone: the request is being cancelled
            while True:
                with anyio.CancelScope(shield=True):  # half a header would spoil the stream
                    await (await open_stream(request)).write(_WAITS)
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


async def copy_stream(
    source: aiohttp.StreamReader,
    stream: web.StreamResponse,
    broken: Callable[[], LocalLLMError],
    flow: Flow,
) -> web.StreamResponse:
    """Pass all of a stream on as it comes.

    Args:
        broken: Says what it means if it has no end.
        flow: Counts every piece but comments: an engine that hangs goes on sending those.
    """
    tail = last = b""
    while True:
        try:
            chunk = await source.readany()
        except (aiohttp.ClientError, ConnectionError):
            chunk = b""
        if not chunk:
            break
        if not chunk.startswith(b":"):
            flow.moved += 1
        flow.blocked += 1
        try:
            await stream.write(chunk)
        finally:
            flow.blocked -= 1
        last, tail = chunk, chunk if len(chunk) >= _TAIL else (tail + chunk)[-_TAIL:]
    if _DONE not in tail[-_TAIL:] and not last.lstrip().startswith(_ENGINES_ERROR):
        if not tail.endswith(b"\n\n"):
            await stream.write(b"\n\n")  # the event that was cut off
        return await end_with(stream, broken())
    with suppress(ConnectionError):  # the client has all of it, and has gone
        await stream.write_eof()
    return stream


async def end_with(stream: web.StreamResponse, error: LocalLLMError) -> web.StreamResponse:
    """End an open stream with an error event, in OpenAI's shape: the client raises it."""
    body = msgspec.json.encode(openai_error(error).body)
    await stream.write(b"data: " + body + b"\n\n")
    await stream.write_eof()
    return stream
