"""`events`: what happened, and what was decided, in words that a person can read."""

from __future__ import annotations

from localllm.api.views import View


class EventView(View, frozen=True, kw_only=True):
    seq: int
    """Grows by one with every event."""

    at: float
    """Unix seconds."""

    topic: str
    """`state`, `pull`, `progress`, `missed`, or one of events.Topic."""

    why: str
    model: str | None = None
    instance: str | None = None
    old: str | None = None
    """Of a change of state: the one before."""

    new: str | None = None
    pull: str | None = None
    """A pull's id; of `pull` and `progress`."""

    here: int | None = None
    """Of progress: bytes that have come."""

    size: int | None = None
    speed: float | None = None
    """Bytes per second."""

    left: float | None = None
    """Seconds."""
