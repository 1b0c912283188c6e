"""Why a start that was watched came to nothing. Pure.

What the errors say is made harmless by who shows them, line by line.
"""

from __future__ import annotations

from collections.abc import Iterable

from localllm.api.event_views import EventView
from localllm.api.status_views import InstanceView
from localllm.errors import StartFailed


def start_failed(model: InstanceView) -> StartFailed:
    """It has given up: its reason, the engine's last lines, and what cures it."""
    error = model.error
    lines = [] if error is None else error.log
    said = "".join(f"\n  | {line}" for line in lines)
    fix = None if error is None else error.fix
    return StartFailed(
        f"{model.id} could not be started.",
        why=(model.why if error is None else error.reason) + said,
        fix=fix or f"localllm logs {model.id}",
    )


def gone(model: str, instance: str, events: Iterable[EventView]) -> StartFailed:
    """It is there no more: what was decided of it last."""
    told = [one.why for one in events if one.instance == instance and one.why]
    return StartFailed(
        f"{model} is not served any more.",
        why=told[-1] if told else "somebody stopped or replaced it",
        fix=f"localllm logs {model}",
    )
