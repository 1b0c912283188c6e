"""Columns of text."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

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
