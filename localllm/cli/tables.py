"""Columns of text, and figures as people read them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from localllm.units import GIB, MIB

_FIGURE = re.compile(r"\d+([./]\d+)?( |$)")
"""Not so: 13th Gen Intel, 01-ai."""


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns: words to the left, figures to the right; no trailing blanks."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [_line(row, widths) for row in rows]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if _FIGURE.match(cell) else cell.ljust(width)
        for cell, width in zip(row, widths, strict=True)
    ]
    return "  ".join(cells).rstrip()


def size(count: int | None) -> str:
    """Render bytes; a dash where they are unknown."""
    if count is None:
        return "-"
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def speed(tps: float | None) -> str:
    """Render tokens per second; a dash where they are unknown."""
    return "-" if tps is None else f"{tps:.0f} tok/s"
