"""What the control API sends piece by piece: events, and the logs of models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from aiohttp import web

from localllm.api.event_views import EventView
from localllm.api.views import EventsQuery, LogsQuery
from localllm.errors import ModelNotFound
from localllm.gateway.api_routes import ApiRoute, streaming
from localllm.gateway.events import render_event
from localllm.gateway.openapi import Operation, Text
from localllm.supervisor.bus import EventBus
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import tail

_LOOK_EVERY_S = 0.25
_BEAT_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Following:
    """Calls whose answer may go on."""

    fleet: Fleet

    def table(self) -> Sequence[ApiRoute]:
        logs, end = "/api/v1/models/{id}/logs", "The end of a model's log."
        return [
            streaming(
                Operation("GET", logs, end, (ModelNotFound,)),
                LogsQuery,
                Text("text/plain", "Its lines."),
                self.logs,
            ),
            streaming(
                Operation("GET", "/api/v1/events", "What has happened."),
                EventsQuery,
                Text("text/event-stream", "Server-sent events, each an EventView.", EventView),
                self.events,
            ),
        ]

    async def events(self, request: web.Request, wanted: EventsQuery) -> web.StreamResponse:
        """Send what has happened as server-sent events, and with `follow=1` what happens."""
        bus = self.fleet.tools.bus
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        async with _until_it_goes():
            await stream.prepare(request)
            if wanted.follow:
                await _send_as_they_come(bus, stream)
            else:
                for envelope in bus.recent():
                    await stream.write(render_event(envelope))
            await stream.write_eof()
        return stream

    async def logs(self, request: web.Request, wanted: LogsQuery) -> web.StreamResponse:
        """Send a model's log as text: its last lines, and with `follow=1` what comes after."""
        hosted = self.fleet.names.require(request.match_info["id"])
        stream = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        async with _until_it_goes():
            await stream.prepare(request)
            size = _size(hosted.log)
            text = "".join(f"{line}\n" for line in tail(hosted.log, wanted.lines))
            await stream.write(text.encode())
            while wanted.follow:
                await anyio.sleep(_LOOK_EVERY_S)
                size = await _send_new(hosted.log, size, stream)
            await stream.write_eof()
        return stream


@asynccontextmanager
async def _until_it_goes() -> AsyncIterator[None]:
    """End without a word when the client has gone, also where a task group has wrapped that."""
    try:
        yield
    except* ConnectionError:
        pass


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
