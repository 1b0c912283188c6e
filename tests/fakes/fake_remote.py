"""A server elsewhere on loopback that speaks OpenAI's API: it does what it is told, and remembers."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from aiohttp import web

PATH = "/v1/chat/completions"
WHOLE = b'{"choices": [ {"message":{"content":"from afar"}} ],"model":"big"}'
EVENT = b'data: {"choices":[{"delta":{"content":"from afar"},"index":0}]}\n\n'
STREAM = (EVENT, EVENT, b"data: [DONE]\n\n")


@dataclass(frozen=True, slots=True)
class Say:
    """What to answer with. Without a body it is what a client asked for, whole or streamed."""

    status: int = 200
    body: bytes | None = None
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: tuple[bytes, ...] = STREAM
    cut: bool = False
    """Close the connection before the answer's end."""

    hang: bool = False
    """Say nothing after the first piece."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, as it arrived."""

    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class FakeRemote:
    """Where it is, and what it saw."""

    host: str = ""
    scheme: str = "http"
    say: Say = field(default_factory=Say)
    seen: list[Seen] = field(default_factory=list)
    left: anyio.Event = field(default_factory=anyio.Event)
    """Set when a client has gone before its answer's end."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}/v1"

    @property
    def models(self) -> list[str]:
        return [json.loads(seen.body)["model"] for seen in self.seen]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        self.seen.append(Seen(request.raw_path, headers, body))
        try:
            return await self._answer(request, is_stream=bool(json.loads(body).get("stream")))
        except (ConnectionError, anyio.get_cancelled_exc_class()):
            self.left.set()
            raise

    async def _answer(self, request: web.Request, *, is_stream: bool) -> web.StreamResponse:
        say = self.say
        if say.body is not None or not is_stream:
            pieces, kind = (WHOLE if say.body is None else say.body,), say.kind
        else:
            pieces, kind = say.pieces, "text/event-stream"
        answer = web.StreamResponse(
            status=say.status, headers={"Content-Type": kind, **say.headers}
        )
        await answer.prepare(request)
        for piece in pieces:
            await answer.write(piece)
            if say.hang:
                await anyio.sleep_forever()
        if say.cut:
            assert request.transport is not None
            request.transport.close()
        return answer


@asynccontextmanager
async def a_remote(
    say: Say | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[FakeRemote]:
    remote = FakeRemote(say=say or Say(), scheme="http" if tls is None else "https")
    app = web.Application(client_max_size=8 << 20)
    app.router.add_route("*", "/{rest:.*}", remote.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        remote.host = f"127.0.0.1:{runner.addresses[0][1]}"
        yield remote
    finally:
        await runner.cleanup()
