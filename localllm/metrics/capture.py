"""Writes down what one client sends, because somebody asked to see it: for a while, and not too much.

One capture at a time; a folder each, a file for each request, readable by the user alone. It ends
by itself: by time, by number, by size, or when the disk does not take it.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import anyio
import msgspec
from anyio import to_thread

from localllm.errors import BadRequest
from localllm.metrics.callers import is_client
from localllm.metrics.live import Live
from localllm.metrics.redaction import redact_body, redact_headers

FORMAT = 1
_log = logging.getLogger("localllm.metrics")

_FOLDER = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}")
_LONGEST_PATTERN = 100
_MOST_MINUTES = 120.0
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one capture may take, and how many are kept."""

    requests: int = 200
    bytes: int = 64 << 20
    """Of their bodies, as they were sent."""

    waiting: int = 16
    """Requests that are not written yet; with more, the next are left out."""

    captures: int = 10


@dataclass(slots=True)
class Capturing:
    """One capture; mutable, for the daemon to show."""

    client: str
    """A pattern, as in claude*: of a program, a conversation, or a key's name."""

    redact_text: bool
    folder: Path
    until: float
    """On the clock of the captures."""

    ends_at: float
    """Unix seconds."""

    requests: int = 0
    bytes: int = 0
    left_out: int = 0
    """More than could be written in time."""

    over: str | None = None
    """Why it has ended; None: it has not."""


@dataclass(frozen=True, slots=True)
class _Request:
    capturing: Capturing
    number: int
    live: Live
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Captures:
    """Mutable, and used on the event loop; `run` writes, in a thread.

    Args:
        folder: Made when something is captured.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        bounds: Bounds | None = None,
    ) -> None:
        self._folder = folder
        self._clock, self._wall_clock = clock, wall_clock
        self._bounds = bounds or Bounds()
        self._last: Capturing | None = None
        self._waiting: deque[_Request] = deque()
        self._arrived = anyio.Event()

    def start(self, client: str, minutes: float, *, redact_text: bool) -> Capturing:
        """Begin to write down what a client sends.

        Raises:
            BadRequest: One is under way, or the bounds are not kept.
        """
        if (last := self.last()) is not None and last.over is None:
            raise BadRequest(
                f"A capture of {last.client} is under way.",
                why="there is one at a time",
                fix="stop it first, or wait until it has ended",
            )
        _check(client, minutes)
        began_at = self._wall_clock()
        stamp = datetime.fromtimestamp(began_at, UTC).strftime("%Y%m%dT%H%M%SZ")
        self._last = Capturing(
            client=client,
            redact_text=redact_text,
            folder=self._folder / f"{stamp}-{secrets.token_hex(2)}",
            until=self._clock() + minutes * _MINUTE_S,
            ends_at=began_at + minutes * _MINUTE_S,
        )
        _log.info("capture: client=%r folder=%s", client, self._last.folder)
        return self._last

    def stop(self) -> Capturing | None:
        """End the capture; None where there was never one."""
        last = self.last()
        if last is not None and last.over is None:
            last.over = "stopped"
        return last

    def last(self) -> Capturing | None:
        """The capture that is under way, or the one before; None: there was none."""
        last = self._last
        if last is not None and last.over is None and self._clock() >= last.until:
            last.over = "its time is over"
        return last

    def offer(self, live: Live, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Have a request written down if it is the client's. Cheap where nothing is captured."""
        if self._last is None or self._last.over is not None:
            return
        last = self.last()
        if last is None or last.over is not None or not is_client(last.client, live.caller):
            return
        if last.bytes + len(body) > self._bounds.bytes:
            last.over = "it has as many bytes as it may"
            return
        if len(self._waiting) >= self._bounds.waiting:
            last.left_out += 1
            return
        self._waiting.append(_Request(last, last.requests + 1, live, tuple(headers), body))
        self._arrived.set()
        last.requests += 1
        last.bytes += len(body)
        if last.requests >= self._bounds.requests:
            last.over = "it has as many requests as it may"

    async def run(self) -> None:
        """Write what is offered, until cancelled."""
        while True:
            while self._waiting:
                await self._try(self._waiting.popleft())
            self._arrived = anyio.Event()
            await self._arrived.wait()

    async def _try(self, request: _Request) -> None:
        try:
            await to_thread.run_sync(self._write, request, abandon_on_cancel=True)
        except OSError as error:
            if request.capturing.over is None:
                request.capturing.over = f"it cannot be written: {error.strerror or error}"
            _log.warning("capture: cannot be written: why=%s", error)

    def _write(self, request: _Request) -> None:
        folder = request.capturing.folder
        if not folder.is_dir():
            self._make(folder)
        name = f"{request.number:04}-{request.live.api.value}.json"
        draft = folder / f".{name}.draft"
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        try:
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(_document(request))))
            os.replace(draft, folder / name)  # noqa: PTH105  # the one call that promises to be atomic
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def _make(self, folder: Path) -> None:
        """Make room for it: of older captures the newest stay."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        kept = self._bounds.captures - 1
        older = sorted(one for one in self._folder.iterdir() if _FOLDER.fullmatch(one.name))
        for one in older[: max(0, len(older) - kept)]:
            shutil.rmtree(one, ignore_errors=True)
        folder.mkdir(mode=0o700)


def _document(request: _Request) -> dict[str, object]:
    live, capturing = request.live, request.capturing
    return {
        "format": FORMAT,
        "id": live.id,
        "at": live.began_at,
        "api": live.api.value,
        "model": live.asked,
        "client": live.caller.program,
        "conversation": live.caller.conversation,
        "headers": redact_headers(request.headers),
        "body_bytes": len(request.body),
        "body": redact_body(request.body, texts=capturing.redact_text),
    }


def _check(client: str, minutes: float) -> None:
    if not 0 < len(client) <= _LONGEST_PATTERN:
        why = f"it has {len(client)} characters; 1 to {_LONGEST_PATTERN} are allowed"
        raise BadRequest("The client is not named.", why=why, fix="name it", param="client")
    if not 0 < minutes <= _MOST_MINUTES:
        why = f"{minutes} minutes; more than 0 and at most {_MOST_MINUTES:.0f} are allowed"
        raise BadRequest("The time is wrong.", why=why, fix="shorten it", param="minutes")
