"""Columns of text, and figures as people read them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from localllm.units import GIB, MIB

_FIGURE = re.compile(r"\d+([./]\d+)?( |$)")
"""Not so: 13th Gen Intel, 01-ai."""


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns: words to the left, figures to the right; no trailing blanks."""
    widths = [max(_length(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [_line(row, widths) for row in rows]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [_padded(cell, width) for cell, width in zip(row, widths, strict=True)]
    return "  ".join(cells).rstrip()


def _padded(cell: str, width: int) -> str:
    blanks = " " * (width - _length(cell))
    return blanks + cell if _FIGURE.match(cell) else cell + blanks


def _length(cell: str) -> int:
    """Columns that it takes: colours take none."""
    return len(click.unstyle(cell))


def size(count: int | None) -> str:
    """Render bytes; a dash where they are unknown."""
    if count is None:
        return "-"
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def speed(tps: float | None) -> str:
    """Render tokens per second; a dash where they are unknown."""
    return "-" if tps is None else f"{tps:.0f} tok/s"


def duration(seconds: float) -> str:
    """Render whole seconds in hours and minutes, in minutes and seconds, or as they are."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
