"""What is said of a recording. Pure."""

from __future__ import annotations

from localllm.api.recording_views import RecordingView
from localllm.units import duration, size
from localllm.wording.figures import counted
from localllm.wording.plain import plain


def what_is_recorded(view: RecordingView) -> str:
    """Say that a recording goes on, or how it ended."""
    of = "everybody" if view.client is None else plain(view.client)
    kept = "shapes AND PROMPTS" if view.prompts else "shapes, no text"
    so_far = f"{counted(view.requests, 'request')} of {of}, {kept}, {size(view.bytes)}"
    if view.over is not None:
        return f"the last recording has {so_far}; it ended: {plain(view.over)}"
    return (
        f"recording requests: {so_far}; ends in {duration(view.left)}; localllm record off ends it"
    )


def what_is_lacking(view: RecordingView) -> list[str]:
    """Say what of it is not as it should be."""
    lines = []
    if view.under_way:
        lines.append(f"under way, or not written yet: {counted(view.under_way, 'request')}")
    if view.unmarked:
        what = counted(view.unmarked, "request")
        lines.append(f"of {what} nobody could tell what the prompt has in common with others")
    if view.left_out:
        lines.append(f"left out: {counted(view.left_out, 'request')}")
    return lines
