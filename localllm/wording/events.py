"""What happened, on a line. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from localllm.api.event_views import EventView
from localllm.wording.engine_log import harmless
from localllm.wording.figures import DASH


def line_of(event: EventView) -> str:
    """Say when, what, of whom and why; by the clock of who reads it."""
    clock = f"{datetime.fromtimestamp(event.at, UTC).astimezone():%H:%M:%S}"
    what = f"{event.old} -> {event.new}" if event.topic == "state" else event.topic
    return harmless(f"{clock}  {what:<20}  {event.instance or event.model or DASH}  {event.why}")
