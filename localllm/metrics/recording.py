"""Keeps the shapes of requests, because somebody asked for it: for a while, and not too much.

One recording at a time, each a file that its user alone can read. It ends by itself: by time, by
number, by size, or when the disk does not take it. What is done while a request is served is to
remember it; the rest waits until nothing is under way, or too much waits.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
from anyio import to_thread

from localllm import __version__
from localllm.api.recording_views import RecordingRequest
from localllm.api.traffic_file import BLOCK_TOKENS, FORMAT, Header
from localllm.errors import BadRequest
from localllm.metrics.callers import is_client
from localllm.metrics.live import Live
from localllm.metrics.recording_blocks import Blocks, aligned
from localllm.metrics.recording_file import create
from localllm.metrics.recording_state import Followed, Recording, RecordingBounds
from localllm.metrics.recording_writing import write
from localllm.metrics.requests import Requests

_log = logging.getLogger("localllm.metrics")

_MINUTE_S = 60.0
_QUIET_S = 0.2
"""An agent's next request mostly comes within it, if it comes by itself."""

_TOKENS_WITHIN_S = 30.0
_LAST_WORDS_S = 5.0
_EVERYBODY = "*"

Tokens = Callable[[Live, str, bytes], Awaitable[Sequence[int] | None]]
"""Has the prompt of a request that went to an engine's path cut into tokens; None: nobody can."""


async def no_tokens(_live: Live, _path: str, _body: bytes) -> None:
    """Say that nobody can cut prompts into tokens."""


class Recordings:
    """Mutable, and used on the event loop; `run` writes, in a thread.

    Args:
        folder: Made when something is recorded.
        make_key: Makes the key of a recording, by which equal blocks are known; it is not kept.
    """

    def __init__(
        self,
        folder: Path,
        requests: Requests,
        tokens: Tokens,
        make_key: Callable[[], bytes],
        bounds: RecordingBounds | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = requests.clock
        self._folder = folder
        self._requests = requests
        self._tokens = tokens
        self._make_key = make_key
        self._bounds = bounds or RecordingBounds()
        self._wall_clock = wall_clock
        self._last: Recording | None = None
        self._followed: dict[str, Followed] = {}
        self._waiting: deque[Followed] = deque()
        self._waiting_bytes = 0
        self._starting = anyio.Lock()
        self._arrived, self._settled = anyio.Event(), anyio.Event()
        self._settled.set()

    async def start(
        self, wanted: RecordingRequest, model: str | None = None, context: int | None = None
    ) -> Recording:
        """Begin to keep the shapes of requests.

        Args:
            model: That is served now.
            context: Its, in tokens.

        Raises:
            BadRequest: A recording is under way.
            OSError: The disk does not take the file.
        """
        async with self._starting:
            if (last := self.last()) is not None and last.is_on:
                raise BadRequest(
                    "A recording is under way.",
                    why=f"there is one at a time, and it goes to {last.file}",
                    fix="localllm record off ends it",
                )
            self._last = await self._begun(wanted, model, context)
            self._arrived.set()
        _log.info("recording: file=%s prompts=%s", self._last.file, wanted.prompts)
        return self._last

    async def _begun(
        self, wanted: RecordingRequest, model: str | None, context: int | None
    ) -> Recording:
        started_at, began = self._wall_clock(), self.clock()
        header = Header(
            format=FORMAT,
            version=__version__,
            started=started_at,
            block_tokens=BLOCK_TOKENS,
            model=model,
            context=context,
            client=wanted.client,
            prompts=wanted.prompts,
        )
        length_s = wanted.minutes * _MINUTE_S
        return Recording(
            file=await to_thread.run_sync(create, self._folder, header),
            client=wanted.client,
            prompts=wanted.prompts,
            began=began,
            until=began + length_s,
            started_at=started_at,
            ends_at=started_at + length_s,
            blocks=Blocks(self._make_key()),
        )

    async def stop(self) -> Recording | None:
        """End the recording, and wait a little for what is to be written; None: there was none.

        Requests under way are still written when they end.
        """
        last = self.last()
        if last is not None and last.is_on:
            last.end("stopped")
        with anyio.move_on_after(_LAST_WORDS_S):
            await self._settled.wait()
        return last

    def last(self) -> Recording | None:
        """The recording that is under way, or the one before; None: there was none."""
        last = self._last
        if last is not None and last.is_on and self.clock() >= last.until:
            last.end("its time is over")
        return last

    def begins(self, live: Live) -> None:
        """Have a request recorded if it is to be. Cheap where nothing is recorded."""
        if self._last is None or not self._last.is_on:
            return
        last = self.last()
        if last is None or not last.is_on:
            return
        if not is_client(last.client or _EVERYBODY, live.caller):
            return
        if last.requests + last.under_way >= self._bounds.requests:
            last.end("it has as many requests as it may")
            return
        last.under_way += 1
        self._followed[live.id] = Followed(last, live)

    def saw(self, live: Live, path: str, body: bytes) -> None:
        """Remember the prompt of a request.

        Args:
            path: Of the engine's endpoint.
            body: For the engine.
        """
        followed = self._followed.get(live.id) if self._followed else None
        if followed is None or self._waiting_bytes + len(body) > self._bounds.waiting_bytes:
            return
        self._waiting_bytes += len(body)
        followed.path, followed.body = path, body

    def finished(self, live: Live) -> None:
        """Have a request written that is over."""
        followed = self._followed.pop(live.id, None) if self._followed else None
        if followed is None:
            return
        if len(self._waiting) >= self._bounds.most_waiting:
            followed.recording.left_out += 1
            self._forget(followed)
            return
        self._waiting.append(followed)
        self._settled = anyio.Event() if self._settled.is_set() else self._settled
        self._arrived.set()

    async def run(self) -> None:
        """Write what is over, until cancelled; what is left then is written without its cache structure."""
        try:
            while True:
                while self._waiting:
                    await self._until_quiet()
                    followed = self._waiting[0]  # there until it is written: this may be cancelled
                    await self._try(followed, await self._tokens_of(followed))
                self._settled.set()
                self._arrived = anyio.Event()
                with anyio.move_on_after(self._left_s()):
                    await self._arrived.wait()
        finally:
            with anyio.move_on_after(_LAST_WORDS_S, shield=True):
                while self._waiting:
                    await self._try(self._waiting[0], None)

    def _left_s(self) -> float:
        """How long until somebody is to look whether a recording's time is over."""
        last = self.last()
        return math.inf if last is None or not last.is_on else last.left_s(self.clock())

    def _forget(self, followed: Followed) -> None:
        followed.recording.let_go()
        self._waiting_bytes -= len(followed.body or b"")

    async def _until_quiet(self) -> None:
        """Wait until no request is under way for a moment, so that none is slowed down; not for ever."""
        while len(self._waiting) <= self._bounds.waiting:
            if not self._waiting[0].recording.is_on:  # somebody may wait for its file
                return
            seen, is_quiet = self._requests.changes, not self._requests.live()
            await anyio.sleep(_QUIET_S)  # not woken by each change: that would be felt by requests
            if is_quiet and self._requests.changes == seen:
                return

    async def _try(self, followed: Followed, tokens: Sequence[int] | None) -> None:
        recording = followed.recording
        try:
            await to_thread.run_sync(write, followed, tokens, self._bounds)
        except OSError as error:
            recording.left_out += 1
            recording.end(f"it cannot be written: {error.strerror or error}")
        self._waiting.popleft()
        self._forget(followed)

    async def _tokens_of(self, followed: Followed) -> Sequence[int] | None:
        live, body = followed.live, followed.body
        if body is None or live.instance is None:
            return None
        with anyio.move_on_after(_TOKENS_WITHIN_S):
            tokens = await self._tokens(live, followed.path, body)
            return None if tokens is None else aligned(tokens, live.prompt_tokens)
        return None
