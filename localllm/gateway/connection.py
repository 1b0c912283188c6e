"""One client's connection: how long half a request may take, and how many there may be at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from aiohttp import StreamReader, web

from localllm.errors import BadRequest, NotReady
from localllm.gateway.http_errors import openai_error
from localllm.gateway.middleware import ALWAYS

_REFUSED_S = 1.0
"""For a client that is turned away to read why, before its connection is cut."""

_MOST_REFUSED = 64
"""At once; more are cut without a word."""

_MOST_WAITING = 8
"""Requests on one connection behind the one under way; with many more aiohttp stops to read, and
would not notice that the client has gone."""

_CONTINUE = "100-continue"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What connections may take; times in seconds."""

    head_s: float = 10.0
    """From the first byte of a request to the end of its headers."""

    idle_s: float = 75.0
    """Between two requests."""

    unread_s: float = 30.0
    """A client that has taken nothing for so long of what waits for it is cut off: it keeps a slot
    and memory from others."""

    linger_s: float = 2.0
    """For what a refused client still sends, so that it sees the answer."""

    most: int = 1024
    """Connections at once."""


@dataclass(slots=True)
class Crowd:
    """All connections that there are.

    Args:
        most: There may be now.
    """

    most: Callable[[], int]
    here: dict[Connection, None] = field(default_factory=dict["Connection", None])
    """In the order in which they came: of two that have been idle for as long, the older goes."""

    refused: int = 0

    def makes_room(self) -> bool:
        """Tell whether there is room for one more; who has been idle for longest makes it."""
        if len(self.here) < self.most():
            return True
        idle = [one for one in self.here if one.awaits_a_head()]
        if not idle:
            return False
        longest = min(idle, key=lambda one: one.idle_until)
        self.here.pop(longest)
        longest.force_close()
        return True


class Connection(web.RequestHandler):
    """aiohttp's, which has no deadline for headers and no bound for connections.

    Checked with aiohttp 3.14.5; tests/integration/test_transport.py tells when another differs.
    """

    __slots__ = ("_body", "_crowd", "_deadline", "_deaf", "_limits")

    def __init__(self, server: web.Server, crowd: Crowd, limits: Limits, **options: Any) -> None:  # noqa: ANN401  # as aiohttp has them
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._crowd = crowd
        self._limits = limits
        self._deaf: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None

    def awaits_a_head(self) -> bool:
        """Tell whether no request is under way: what comes next is, or continues, a head."""
        if self._request_count == 0:
            return True
        return self._waiter is not None and not self._waiter.done()

    @property
    def idle_until(self) -> float:
        """When it is closed if nothing comes: the longer idle, the earlier."""
        return self._next_keepalive_close_time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._crowd.makes_room():
            self._turn_away(transport)
            return
        self._crowd.here[self] = None
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._crowd.here.pop(self, None)
        self._forget_deadline()
        self._hear()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._hear()
        self._watch(self._unread())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._hear()

    def data_received(self, data: bytes) -> None:
        count = self._request_count
        super().data_received(data)
        if self._request_count != count and self._messages:
            self._begin(self._messages[-1][1])
        if len(self._messages) > _MOST_WAITING:
            self._abort()
        elif not self.awaits_a_head():
            self._forget_deadline()
        elif data and self._deadline is None:
            self._deadline = self._loop.call_later(self._limits.head_s, self._close_if_late)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Refuse what is no HTTP: without a word of it in the log, since it may hold a key."""
        if isinstance(exc, ConnectionError):  # the client has gone, which is its right
            self.force_close()
            return web.Response(status=status)
        if status != 400:  # noqa: PLR2004  # a bug: aiohttp logs it, and cuts the connection
            return super().handle_error(request, status, exc, message)
        return _refusal(
            400,
            why=f"it is not HTTP as it should be ({type(exc).__name__})",
            fix="send well-formed headers, each under 8 KiB",
        )

    def _begin(self, body: StreamReader) -> None:
        """Take note of the latest request's body; one before it that has no end never gets one.

        Then what came was no chunk. aiohttp tells the next request's handler, and not the one that
        waits for the rest.
        """
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(web.RequestPayloadError("what came is no chunk"))
            self._body.feed_eof()
        self._body = body

    def _unread(self) -> int:
        """Bytes that the client has not taken yet."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def _watch(self, unread: int) -> None:
        self._deaf = self._loop.call_later(self._limits.unread_s, self._cut_if_deaf, unread)

    def _cut_if_deaf(self, before: int) -> None:
        unread = self._unread()
        if unread >= before:
            self._abort()
        else:
            self._watch(unread)

    def _hear(self) -> None:
        if self._deaf is not None:
            self._deaf.cancel()
            self._deaf = None

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _close_if_late(self) -> None:
        self._deadline = None
        if self.awaits_a_head():
            self.force_close()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _turn_away(self, transport: asyncio.BaseTransport) -> None:
        socket = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._force_close = True  # so that nothing that comes is read
        if self._crowd.refused >= _MOST_REFUSED:
            socket.abort()
            return
        self._crowd.refused += 1
        socket.write(_full(self._crowd.most()))
        self._loop.call_later(_REFUSED_S, self._cut, socket)

    def _cut(self, transport: asyncio.Transport) -> None:
        self._crowd.refused -= 1
        transport.close()


def expecting_little(handle: Handler) -> Handler:
    """Refuse requests that expect of us what is not known.

    Before aiohttp does, which answers before our rules are asked, and fails on some spellings.
    """

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        expected = request.headers.get("Expect", _CONTINUE)
        if expected.lower() != _CONTINUE:
            return _refusal(
                417,
                why=f"its header Expect asks for more than {_CONTINUE}",
                fix="leave that header out",
            )
        return await handle(request)

    return handler


def _refusal(status: int, *, why: str, fix: str) -> web.Response:
    reply = openai_error(BadRequest("The request cannot be read.", why=why, fix=fix))
    response = web.json_response(reply.body, status=status, headers={**reply.headers, **ALWAYS})
    response.force_close()
    return response


def _full(most: int) -> bytes:
    reply = openai_error(
        NotReady(
            "There are too many connections.",
            why=f"{most} are open, and none of them is idle",
            fix="try again in a moment, or raise max_connections in config.toml",
        )
    )
    body = msgspec.json.encode(reply.body)
    headers = {
        **reply.headers,
        **ALWAYS,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    head = "".join(["HTTP/1.1 503 Service Unavailable\r\n", *lines, "\r\n"])
    return head.encode() + body
