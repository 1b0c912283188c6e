"""A gateway's door alone: its guard, its server and one route that reads a body; no engine behind it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from aiohttp import web

from localllm.gateway.access import Rules
from localllm.gateway.bodies import Pace, read_body
from localllm.gateway.connection import Limits
from localllm.gateway.listening import bound, serving
from localllm.gateway.middleware import CALLER, guard, sign_answers

DEADLINE_S = 15.0
"""For what takes milliseconds: only a test that has failed gets there."""

TOKEN = "7" * 64
BODIES = ("/v1/chat/completions", "/v1/messages")
HANGING = "/v1/hanging"


@dataclass(slots=True)
class Gate:
    """Where it is, and what it let in."""

    port: int
    read: list[bytes] = field(default_factory=list[bytes])
    hanging: int = 0
    """Requests that are in the handler that does not answer."""

    async def connect(self) -> anyio.abc.SocketStream:
        return await anyio.connect_tcp("127.0.0.1", self.port)

    async def said(self, *pieces: bytes) -> bytes:
        """Send the pieces, and read until the other side closes."""
        with anyio.fail_after(DEADLINE_S):
            async with await self.connect() as stream:
                for piece in pieces:
                    await stream.send(piece.replace(b"PORT", str(self.port).encode()))
                return await read_all(stream)


async def read_all(stream: anyio.abc.SocketStream) -> bytes:
    """Read to the end; a connection that is cut has ended, too."""
    text = b""
    try:
        async for piece in stream:
            text += piece
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    return text


def a_head(*lines: str, method: str = "POST", path: str = BODIES[0], close: bool = True) -> bytes:
    """Write a request's head; PORT stands for the port."""
    kind = ["Content-Type: application/json"] if method == "POST" else []
    end = ["Connection: close"] if close else []
    first = f"{method} {path} HTTP/1.1"
    return "\r\n".join([first, "Host: 127.0.0.1:PORT", *kind, *end, *lines, "", ""]).encode()


@asynccontextmanager
async def a_gate(
    limits: Limits = Limits(),  # noqa: B008  # frozen
    pace: Pace = Pace(),  # noqa: B008
    *,
    most_bytes: int = 1 << 16,
    rules: Callable[[int], Rules] = lambda port: Rules(port, frozenset(), TOKEN),
) -> AsyncIterator[Gate]:
    """Stand it up on loopback; leaving the block closes it."""
    with bound(0, ("127.0.0.1",)) as sockets:
        gate = Gate(sockets[0].getsockname()[1])

        async def take(request: web.Request) -> web.Response:
            body = await read_body(request, most_bytes)
            gate.read.append(body)
            said = {"caller": request[CALLER].name, "sha256": hashlib.sha256(body).hexdigest()}
            return web.json_response(said)

        async def hang(_request: web.Request) -> web.Response:
            gate.hanging += 1
            try:
                await anyio.sleep(DEADLINE_S)
            finally:
                gate.hanging -= 1
            return web.Response()

        def current() -> Rules:
            return rules(gate.port)

        app = web.Application(middlewares=[guard(current)])  # type: ignore[list-item]
        app.on_response_prepare.append(sign_answers(current))
        app.add_routes([*(web.post(path, take) for path in BODIES), web.get(HANGING, hang)])
        async with serving(app, sockets, limits, pace):
            yield gate
