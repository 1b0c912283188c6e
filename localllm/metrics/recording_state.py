"""One recording as it goes on, and the requests that are to get into it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from localllm.metrics.live import Live
from localllm.metrics.recording_blocks import Blocks
from localllm.metrics.recording_shape import Conversations

_log = logging.getLogger("localllm.metrics")


@dataclass(frozen=True, slots=True)
class RecordingBounds:
    """How much one recording may take."""

    requests: int = 20_000
    bytes: int = 64 << 20
    waiting: int = 32
    """Requests that wait for a moment in which nothing is under way; with more, it is not waited for."""

    most_waiting: int = 2_000
    """With more, the next are left out."""

    waiting_bytes: int = 64 << 20
    """Of their bodies; beyond them, what their prompts have in common with others is not known."""


@dataclass(slots=True)
class Recording:
    """One recording; mutable, for the daemon to show.

    Args:
        client: A pattern, as in claude*; None: everybody's.
        began: On the clock of the requests.
        until: Likewise.
        started_at: Unix seconds.
        ends_at: Unix seconds.
    """

    file: Path
    client: str | None
    prompts: bool
    began: float
    until: float
    started_at: float
    ends_at: float
    blocks: Blocks | None = field(repr=False)
    """None once all is written: they are the most of what it holds in memory."""

    conversations: Conversations = field(default_factory=Conversations, repr=False)
    under_way: int = 0
    """Requests that are not over, or not written yet."""

    requests: int = 0
    """Written."""

    bytes: int = 0
    unmarked: int = 0
    """Of those written, what their prompts have in common with others is not known, though an engine
    read them to answer."""

    left_out: int = 0
    over: str | None = None
    """Why it has ended; None: it has not."""

    @property
    def is_on(self) -> bool:
        return self.over is None

    def end(self, why: str) -> None:
        """End it; the first reason is the one that counts."""
        if self.over is None:
            self.over = why
            _log.info("recording ended: why=%s requests=%d", why, self.requests)
            self._tidy()

    def let_go(self) -> None:
        """Note that a request is written, or never will be."""
        self.under_way -= 1
        self._tidy()

    def left_s(self, now: float) -> float:
        """How long it goes on at most; `now` is on the clock of the requests."""
        return max(0.0, self.until - now) if self.is_on else 0.0

    def _tidy(self) -> None:
        if not self.is_on and not self.under_way:
            self.blocks = None


@dataclass(slots=True, eq=False)
class Followed:
    """A request of a recording, until it is written. Mutable."""

    recording: Recording
    live: Live
    path: str = ""
    """Of the engine's endpoint that it went to."""

    body: bytes | None = field(default=None, repr=False)
    """For the engine; None: it was refused before, or there was no room for it."""
