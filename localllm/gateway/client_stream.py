"""A stream of events to a client: opened when it has to be, never silent for long, always ended."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import anyio
from aiohttp import web

from localllm.errors import LocalLLMError

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


class Voice(Protocol):
    """What is said to a client beside the answer itself, in its API's words."""

    def begin(self) -> bytes:
        """Open the answer; said once, before anything else."""
        ...

    def life(self) -> bytes:
        """Show life while nothing comes; said between two events."""
        ...

    def fail(self, error: LocalLLMError) -> bytes:
        """End with an error."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client is kept waiting without a word, and how long it may keep us; seconds."""

    open_after_s: float = 2.0
    """A stream that has to wait for its model opens after this; until then an error is an HTTP
    status, which clients understand best."""

    silence_s: float = 10.0
    """Between two signs of life. Agents give up after 300 s, proxies mostly after 60."""

    unread_s: float = 30.0
    """A client that has taken nothing for so long is cut off: it keeps a slot from others."""


class ClientStream:
    """Mutable; one request's answer.

    Args:
        voice: Speaks the client's API.
    """

    def __init__(self, request: web.Request, voice: Voice, patience: Patience) -> None:
        self._request = request
        self._voice = voice
        self._patience = patience
        self._stream: web.StreamResponse | None = None
        self._opening = anyio.Lock()
        self._said_at = time.monotonic()
        self._writing = 0
        self._ended = False
        self.between_events = True
        """Whether what was written so far ends with a whole event."""

    @property
    def is_open(self) -> bool:
        return self._stream is not None

    async def open(self) -> None:
        """Send the opening events, if nothing has been sent yet."""
        if self._stream is None:
            await self._open()

    async def write(self, data: bytes, *, between_events: bool = True) -> None:
        """Send bytes, after the opening events if they are the first.

        Raises:
            ConnectionError: The client has gone, or does not read.
        """
        stream = self._stream or await self._open()
        self._writing += 1
        self._said_at = time.monotonic()
        self.between_events = between_events
        try:
            await stream.write(data)
        finally:
            self._writing -= 1
            self._said_at = time.monotonic()

    async def end(self, data: bytes = b"") -> web.StreamResponse:
        """Send the last bytes."""
        stream = self._stream or await self._open()
        self._ended = True
        with suppress(ConnectionError):  # the client has all that it wants, and has gone
            await stream.write_eof(data)
        return stream

    async def fail(self, error: LocalLLMError) -> web.StreamResponse:
        """End with an error event.

        Raises:
            LocalLLMError: `error`, where the stream has not been opened: it can be an HTTP status.
        """
        if self._stream is None:
            raise error
        cut_off = b"" if self.between_events else b"\n\n"
        return await self.end(cut_off + self._voice.fail(error))

    @asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """While the block runs, show life when nothing else is sent."""
        failed: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch)
            try:
                yield
            except Exception as error:  # noqa: BLE001  # it is raised below: from in here it would come in an ExceptionGroup
                failed = error
            finally:
                tasks.cancel_scope.cancel()
        if failed is not None:
            raise failed

    async def _open(self, *, waits: bool = False) -> web.StreamResponse:
        async with self._opening:
            if self._stream is None:
                stream = web.StreamResponse(headers=_HEADERS)
                with anyio.CancelScope(shield=True):  # half a header would spoil the stream
                    await stream.prepare(self._request)
                    first = self._voice.begin() or (self._voice.life() if waits else b"")
                    if first:
                        await stream.write(first)
                self._stream = stream
            return self._stream

    async def _watch(self) -> None:
        with suppress(ConnectionError):  # the client has gone: the request is being cancelled
            await anyio.sleep(self._patience.open_after_s)
            if not self.is_open:
                await self._open(waits=True)
            wait_s = self._patience.silence_s
            while not self._ended:
                if not self._writing and self.between_events and self._silence_s() >= wait_s:
                    await self.write(self._voice.life())
                elif self._writing and self._silence_s() >= self._patience.unread_s:
                    self._cut_off()
                    return
                await anyio.sleep(max(wait_s - self._silence_s(), 0.05 * wait_s))

    def _silence_s(self) -> float:
        return time.monotonic() - self._said_at

    def _cut_off(self) -> None:
        """End a connection that nobody reads from; whoever writes to it learns of it."""
        if (transport := self._request.transport) is not None:
            transport.abort()
