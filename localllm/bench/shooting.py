"""Sends requests when they are due, and notes when each byte of the answers comes: the load generator.

What it does while answers come is to note the time and keep the bytes; reading them waits until the
volley is over. aiohttp's client takes three to four times the processor's time for each token, which
on a small machine is taken from the engine that is measured, so this is a protocol of its own; it
asks the server to close, so that the connection's end is the answer's, and nothing need be parsed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import anyio

from localllm import __version__
from localllm.bench.arriving import shown_of
from localllm.bench.shots import Arrival, Shot, Shown

PROGRAM = "localllm-bench"
MOST_AT_ONCE = 1024
_PASSING = "x-localllm-passing: 1\r\n"
"""Nobody goes on from these prompts: they are not to push people's off the disk."""

_WITHIN_S = 3600.0
_MOST_BYTES = 64 << 20
_MOST_KEPT_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """Where shots go.

    Args:
        token: That the endpoint may ask for; empty: none is sent.
    """

    port: int
    token: str = ""
    host: str = "127.0.0.1"
    program: str = f"{PROGRAM}/{__version__}"

    def head(self, shot: Shot) -> bytes:
        """Make the request's head."""
        key = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        return (
            f"POST {shot.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"User-Agent: {self.program}\r\n{_PASSING}{key}Content-Type: application/json\r\n"
            f"Content-Length: {len(shot.body)}\r\nConnection: close\r\n\r\n"
        ).encode("ascii")


async def shoot_all(
    target: Target,
    shots: Iterable[Shot],
    *,
    at_once: int = MOST_AT_ONCE,
    tell: Callable[[Arrival], None] = lambda _: None,
) -> list[Shown]:
    """Send each shot when it is due, or as soon after it as fewer than `at_once` are under way.

    All that are due at once with `at_once` = n is n clients of which each asks again once it is
    answered; due times with room for all is traffic that does not wait for answers.

    Args:
        shots: In the order of their due times.
        tell: Called when an answer has ended; is to be quick.

    Returns:
        One for each shot, in their order; failures among them.
    """
    volley = _Volley(target, anyio.CapacityLimiter(at_once), tell, time.perf_counter())
    async with anyio.create_task_group() as tasks:
        for number, shot in enumerate(shots):
            await volley.wait_until(shot.at_s)
            await volley.lanes.acquire_on_behalf_of(number)
            tasks.start_soon(volley.send, number, shot)
    return [volley.shown(number) for number in sorted(volley.ended)]


class _Volley:
    """Shots that are counted from one moment on."""

    def __init__(
        self,
        target: Target,
        lanes: anyio.CapacityLimiter,
        tell: Callable[[Arrival], None],
        began: float,
    ) -> None:
        self.target = target
        self.lanes = lanes
        self.ended: dict[int, Arrival | Shown] = {}
        self._tell = tell
        self._began = began
        self._kept_bytes = 0

    async def wait_until(self, at_s: float) -> None:
        await anyio.sleep(max(0.0, at_s - (time.perf_counter() - self._began)))

    async def send(self, number: int, shot: Shot) -> None:
        try:
            arrival = await shoot(self.target, shot, began=self._began)
        finally:
            self.lanes.release_on_behalf_of(number)
        self._tell(arrival)
        self._keep(number, arrival)

    def _keep(self, number: int, arrival: Arrival) -> None:
        """Keep it as it came while there is room; else read it now, which a long volley can bear."""
        self._kept_bytes += arrival.size_bytes
        is_much = self._kept_bytes > _MOST_KEPT_BYTES
        self.ended[number] = shown_of(arrival) if is_much else arrival

    def shown(self, number: int) -> Shown:
        one = self.ended[number]
        return shown_of(one) if isinstance(one, Arrival) else one


async def shoot(
    target: Target,
    shot: Shot,
    *,
    began: float,
    within_s: float = _WITHIN_S,
    ear: Ear | None = None,
) -> Arrival:
    """Send one request and take in all of its answer; what goes wrong is in the arrival.

    Args:
        began: The moment that times are counted from, by `time.perf_counter`.
        ear: A fresh one that does more than listen; None: one that does not.
    """
    loop = asyncio.get_running_loop()
    ear = ear or Ear()
    sent = time.perf_counter()
    try:
        with anyio.fail_after(within_s):
            transport, _ = await loop.create_connection(lambda: ear, target.host, target.port)
            try:
                sent = time.perf_counter()
                transport.write(target.head(shot) + shot.body)
                await ear.ended.wait()
            finally:
                transport.abort()
    except TimeoutError:
        return ear.arrival(shot, sent, began, f"not over within {within_s:.0f} s")
    except OSError as error:
        return ear.arrival(shot, sent, began, error.strerror or str(error))
    return ear.arrival(shot, sent, began, ear.refused)


class Ear(asyncio.Protocol):
    """Notes each piece with its moment; does as little as it can."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.refused: str | None = None
        self._heard: list[tuple[float, bytes]] = []
        self._room_bytes = _MOST_BYTES

    def data_received(self, data: bytes) -> None:
        self._heard.append((time.perf_counter(), data))
        self._room_bytes -= len(data)
        if self._room_bytes < 0:
            self._end(f"the answer is over {_MOST_BYTES >> 20} MiB")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(None if exc is None else str(exc) or type(exc).__name__)

    def arrival(self, shot: Shot, sent: float, began: float, error: str | None) -> Arrival:
        pieces = tuple((at - began, data) for at, data in self._heard)
        return Arrival(shot, sent - began, pieces, time.perf_counter() - began, error)

    def _end(self, error: str | None) -> None:
        if not self.ended.is_set():
            self.refused = error
            self.ended.set()
