"""`events`: what happened, and what was decided, in words that a person can read."""

from __future__ import annotations

from localllm.api.views import View


class EventView(View, frozen=True, kw_only=True):
    seq: int
    """Grows by one with every event."""

    at: float
    """Unix seconds."""

    topic: str
    """`state`, `missed`, or one of events.Topic."""

    why: str
    model: str | None = None
    instance: str | None = None
    old: str | None = None
    """Of a change of state: the one before."""

    new: str | None = None
