"""The control API: what the CLI and the screen ask of the daemon. JSON in, JSON out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
import msgspec
from aiohttp import web

from localllm.api.views import PlanRequest, ServeRequest, ShutdownRequest
from localllm.errors import BadRequest
from localllm.gateway.events import render_event
from localllm.supervisor.bus import EventBus
from localllm.supervisor.hosted import tail
from localllm.supervisor.names import WHATEVER
from localllm.supervisor.operations import Operations
from localllm.supervisor.orders import How

_DEFAULT_LINES = 200
_MOST_LINES = 10_000
_LOOK_EVERY_S = 0.25
_BEAT_EVERY_S = 30.0
T = TypeVar("T")


class Control:
    """Routes under /api/v1.

    Args:
        shut_down: Tells the daemon to drain and end; returns at once.
    """

    def __init__(self, operations: Operations, shut_down: Callable[[], None]) -> None:
        self._operations = operations
        self._shut_down = shut_down

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v1/status", self.status),
            web.get("/api/v1/hardware", self.hardware),
            web.get("/api/v1/plan", self.plan),
            web.get("/api/v1/models", self.models),
            web.get("/api/v1/models/{id}/logs", self.logs),
            web.post("/api/v1/models/{id}/load", self.load),
            web.post("/api/v1/models/{id}/unload", self.unload),
            web.post("/api/v1/models/{id}/pin", self.pin),
            web.post("/api/v1/models/{id}/unpin", self.unpin),
            web.get("/api/v1/events", self.events),
            web.post("/api/v1/switch", self.switch),
            web.post("/api/v1/shutdown", self.shutdown),
        ]

    async def status(self, _request: web.Request) -> web.Response:
        return _json(await self._operations.status())

    async def models(self, _request: web.Request) -> web.Response:
        return _json(self._operations.models())

    async def hardware(self, _request: web.Request) -> web.Response:
        return _json(await self._operations.hardware())

    async def plan(self, request: web.Request) -> web.Response:
        wanted = _convert(dict(request.query), PlanRequest)
        return _json(await self._operations.plan(wanted))

    async def switch(self, request: web.Request) -> web.Response:
        wanted = await _body(request, ServeRequest)
        return _json(await self._operations.orders.serve(wanted, How.INSTEAD), status=202)

    async def load(self, request: web.Request) -> web.Response:
        """Serve a model beside others; `localllm` is what is served already, or the default."""
        wanted, name = await _body(request, ServeRequest), request.match_info["id"]
        if name != WHATEVER:
            wanted = msgspec.structs.replace(wanted, model=name)
        return _json(await self._operations.orders.serve(wanted), status=202)

    async def pin(self, request: web.Request) -> web.Response:
        return _json(self._operations.pin(request.match_info["id"], pinned=True))

    async def unpin(self, request: web.Request) -> web.Response:
        return _json(self._operations.pin(request.match_info["id"], pinned=False))

    async def unload(self, request: web.Request) -> web.Response:
        return _json(await self._operations.stop(request.match_info["id"]))

    async def shutdown(self, request: web.Request) -> web.Response:
        wanted = await _body(request, ShutdownRequest)
        if wanted.forget:
            self._operations.orders.asks.clear()
        self._shut_down()
        return _json({"pid": self._operations.pid}, status=202)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Send what has happened as server-sent events, and with `follow=1` what happens."""
        bus = self._operations.fleet.tools.bus
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await stream.prepare(request)
        if request.query.get("follow") == "1":
            await _send_as_they_come(bus, stream)
        else:
            for envelope in bus.recent():
                await stream.write(render_event(envelope))
        await stream.write_eof()
        return stream

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """Send a model's log as text: its last lines, and with `follow=1` what comes after."""
        hosted = self._operations.fleet.names.require(request.match_info["id"])
        lines = _lines(request.query.get("lines"))
        stream = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await stream.prepare(request)
        size = _size(hosted.log)
        await stream.write("".join(f"{line}\n" for line in tail(hosted.log, lines)).encode())
        while request.query.get("follow") == "1":
            await anyio.sleep(_LOOK_EVERY_S)
            size = await _send_new(hosted.log, size, stream)
        await stream.write_eof()
        return stream


async def _send_as_they_come(bus: EventBus, stream: web.StreamResponse) -> None:
    """Send all of them, and in between a comment, so that the reader knows that we are there."""

    async def beat() -> None:
        while True:
            await anyio.sleep(_BEAT_EVERY_S)
            await stream.write(b":\n\n")

    with bus.subscribe() as events:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(beat)
            for envelope in bus.recent():
                await stream.write(render_event(envelope))
            async for envelope in events:
                await stream.write(render_event(envelope))


async def _send_new(log: Path, size: int, stream: web.StreamResponse) -> int:
    now = _size(log)
    start = size if now >= size else 0  # it was rotated
    if now > start:
        with log.open("rb") as file:
            file.seek(start)
            await stream.write(file.read(now - start))
    return now


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _lines(given: str | None) -> int:
    if given is None:
        return _DEFAULT_LINES
    if not given.isdigit() or not 0 < int(given) <= _MOST_LINES:
        why = f"lines is a number from 1 to {_MOST_LINES}"
        raise BadRequest(f"lines={given} cannot be served.", why=why, fix="give such a number")
    return int(given)


async def _body(request: web.Request, kind: type[T]) -> T:
    text = await request.read()
    try:
        return msgspec.json.decode(text or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The body is wrong.", why=str(error), fix="correct it") from error


def _convert(query: dict[str, str], kind: type[T]) -> T:
    try:
        return msgspec.convert(query, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest("The query is wrong.", why=str(error), fix="correct it") from error


def _json(document: object, *, status: int = 200) -> web.Response:
    body = msgspec.json.encode(document)
    return web.Response(body=body, status=status, content_type="application/json")
