"""Stands between a tool and the gateway: sends on with the bench's load generator, passes bytes along.

Runs in a thread of its own process' event loop; what a tool asks and what the bench measures of it
are the same requests.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from localllm.bench.arriving import shown_of
from localllm.bench.shooting import Ear, Target, shoot
from localllm.bench.shots import Arrival, Shot, Shown


class _PassingOn(Ear):
    """Notes each piece, then hands it to whoever asked."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__()
        self._writer = writer

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._writer.write(data)


class Relayed:
    """What went through. Mutable."""

    def __init__(self, target: Target) -> None:
        self.port = 0
        self._target = target
        self._began = time.perf_counter()
        self._arrivals: list[Arrival] = []

    def shown(self) -> list[Shown]:
        """All that was asked, as the bench has it."""
        return [shown_of(one) for one in self._arrivals if one.shot.name == "POST"]

    async def serve(self, ready: threading.Event, done: asyncio.Event) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await done.wait()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request; its answer ends the connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            pairs = (line.partition(":") for line in lines[1:])
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            method, path, _ = lines[0].split(" ", 2)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if method != "POST":  # a tool that looks around
                writer.write(
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                return
            shot = Shot(path, body, name=method)
            ear = _PassingOn(writer)
            self._arrivals.append(await shoot(self._target, shot, began=self._began, ear=ear))
            with suppress(ConnectionError):  # the tool has all it wants
                await writer.drain()
        finally:
            writer.close()


@contextmanager
def relayed(target: Target) -> Iterator[Relayed]:
    """Run a relay for as long as the block does."""
    relay, ready = Relayed(target), threading.Event()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(relay.serve(ready, done),))
    thread.start()
    try:
        ready.wait(10)
        yield relay
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        loop.close()
