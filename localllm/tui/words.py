"""Values in words, and text of others made harmless. Pure."""

from __future__ import annotations

from localllm.units import size

DASH = "-"


def plain(text: str) -> str:
    """Take out what a terminal would obey: control characters, and what turns text around."""
    return "".join(c if c.isprintable() else "?" for c in text)


def size_of(count: int | None) -> str:
    """Render bytes; a dash where they are unknown."""
    return DASH if count is None else size(count)


def speed_of(tps: float | None) -> str:
    """Render tokens per second; a dash where they are unknown."""
    return DASH if tps is None else f"{tps:.0f} tok/s"


def percent(share: float | None) -> str:
    """Render a share from 0 to 1; a dash where it is unknown."""
    return DASH if share is None else f"{100 * share:.0f}%"


def duration_of(seconds: float | None) -> str:
    """Render seconds: below ten with a tenth, above in minutes and hours."""
    if seconds is None:
        return DASH
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
