"""A stream of events to a client: opened when it has to be, never silent for long, always ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import anyio
from aiohttp import web

from localllm.errors import LocalLLMError

_log = logging.getLogger(__name__)
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}

_LOOK_EVERY_S = 0.25


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
    """How long a client is kept waiting without a word; seconds."""

    open_after_s: float = 2.0
    """A stream that has to wait for its model opens after this; until then an error is an HTTP
    status, which clients understand best."""

    silence_s: float = 10.0
    """Between two signs of life. Agents give up after 300 s, proxies mostly after 60."""


class ClientStream:
    """Mutable; one request's answer.

    Args:
        voice: Speaks the client's API.
    """

    def __init__(self, request: web.Request, voice: Voice, streams: OpenStreams) -> None:
        self._request = request
        self._voice = voice
        self._streams = streams
        self._stream: web.StreamResponse | None = None
        self._opening = anyio.Lock()
        self._began_at = self._said_at = time.monotonic()
        self._writing = 0
        self._ended = False
        self.between_events = True
        """Whether what was written so far ends with a whole event."""

    async def open(self) -> None:
        """Send the opening events, if nothing has been sent yet."""
        await self._opened()

    async def write(self, data: bytes, *, between_events: bool = True) -> None:
        """Send bytes, after the opening events if they are the first.

        Raises:
            ConnectionError: The client has gone, or has been cut off.
        """
        stream = self._stream or await self._opened()
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
        stream = await self._opened()
        self._ended = True
        with suppress(ConnectionError):  # the client has all that it wants, and has gone
            await stream.write_eof(data)
        return stream

    async def fail(self, error: LocalLLMError) -> web.StreamResponse:
        """End with an error event.

        Raises:
            LocalLLMError: `error`, where the stream has not been opened: it can be an HTTP status.
        """
        async with self._opening:  # which may be under way
            self._ended = self._stream is None
        if self._stream is None:
            raise error
        cut_off = b"" if self.between_events else b"\n\n"
        return await self.end(cut_off + self._voice.fail(error))

    @contextmanager
    def kept_alive(self) -> Generator[None]:
        """While the block runs, life is shown when nothing else is sent."""
        with self._streams.watching(self):
            try:
                yield
            finally:
                self._ended = True

    def is_due(self, now: float, patience: Patience) -> bool:
        """Tell whether something is to be done about its silence."""
        if self._ended:
            return False
        if self._stream is None:
            return now - self._began_at >= patience.open_after_s
        is_silent = now - self._said_at >= patience.silence_s
        return is_silent and self.between_events and not self._writing

    async def attend(self) -> None:
        """Open it, or show life. A client that does not read is cut off by its connection."""
        if self._stream is None:
            await self._open(waits=True)
        else:
            await self.write(self._voice.life())

    def cut_off(self) -> None:
        """End the connection; whoever writes to it learns of it."""
        if (transport := self._request.transport) is not None:
            transport.abort()

    async def _opened(self) -> web.StreamResponse:
        if self._stream is None:
            await self._open()
        assert self._stream is not None, "only one that has failed stays closed"
        return self._stream

    async def _open(self, *, waits: bool = False) -> None:
        """Open it, unless somebody has.

        Args:
            waits: Because nothing comes; then nothing is opened that has failed meanwhile.
        """
        async with self._opening:
            if self._stream is None and not (waits and self._ended):
                stream = web.StreamResponse(headers=_HEADERS)
                with anyio.CancelScope(shield=True):  # half a header would spoil the stream
                    await stream.prepare(self._request)
                    first = self._voice.begin() or (self._voice.life() if waits else b"")
                    if first:
                        await stream.write(first)
                self._stream = stream
                self._said_at = time.monotonic()


class OpenStreams:
    """Looks after all streams at once: a task for each would cost every request a part of its time.

    Mutable.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._watched: set[ClientStream] = set()
        self._attended: set[ClientStream] = set()

    @contextmanager
    def watching(self, stream: ClientStream) -> Generator[None]:
        self._watched.add(stream)
        try:
            yield
        finally:
            self._watched.discard(stream)

    async def run(self) -> None:
        """Attend to those that are due, until cancelled."""
        patience = self._patience
        every_s = min(_LOOK_EVERY_S, patience.open_after_s / 2, patience.silence_s / 2)
        async with anyio.create_task_group() as tasks:
            while True:
                await anyio.sleep(every_s)
                now = time.monotonic()
                for stream in self._watched - self._attended:
                    if stream.is_due(now, patience):
                        self._attended.add(stream)
                        tasks.start_soon(self._attend, stream)

    async def _attend(self, stream: ClientStream) -> None:
        try:
            if stream.is_due(time.monotonic(), self._patience):  # nothing has come meanwhile
                await stream.attend()
        except ConnectionError:  # the client has gone: its request is being cancelled
            pass
        except Exception:  # noqa: BLE001  # a bug in one answer is not to end the others
            _log.exception("a stream could not be kept alive")
            stream.cut_off()
        finally:
            self._attended.discard(stream)
