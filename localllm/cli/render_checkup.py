"""Draw a checkup for people: the worst first, what is well in one line. Pure: a view in, lines out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby

import click

from localllm.api.checkup_views import CheckupView, FindingView, RepairedView
from localllm.wording.figures import counted
from localllm.wording.plain import plain

_COLORS = {"problem": "red", "warning": "yellow", "note": "cyan", "ok": "green"}
_HEADS = {"problem": "PROBLEMS", "warning": "WARNINGS", "note": "NOTES", "ok": "IN ORDER"}
_INDENT = 4


def render_checkup(
    view: CheckupView, *, columns: int, color: bool, everything: bool = False
) -> list[str]:
    """Draw all of it; without `everything`, what is in order is counted and not shown.

    Args:
        columns: Of the terminal; commands are never broken, so that they can be copied.
    """
    lines: list[str] = []
    for severity, found in groupby(view.findings, key=lambda one: one.severity):
        shown = list(found)
        if severity == "ok" and not everything:
            continue
        lines += ["", _paint(_HEADS[severity], severity, color=color, bold=True)]
        for one in shown:
            lines += _finding(one, columns, color=color)
    lines += _repaired(view.repaired, color=color)
    return [*lines[1:], *([""] if lines else []), _summary(view, color=color)]


def _finding(one: FindingView, columns: int, *, color: bool) -> list[str]:
    head = f"{_paint(plain(one.area), one.severity, color=color)}: "
    room = columns - len(one.area) - 4
    first, *rest = textwrap.wrap(plain(one.what), max(20, room), break_long_words=False) or [""]
    lines = [f"  {head}{first}", *(" " * _INDENT + line for line in rest)]
    if one.why is not None:
        lines += _wrapped(one.why, columns)
    if one.fix is not None:
        lines.append(" " * _INDENT + _paint(f"$ {plain(one.fix)}", None, color=color, bold=True))
    if one.repair is not None:
        lines += _wrapped(f"--fix would: {one.repair}", columns)
    return lines


def _wrapped(text: str, columns: int) -> list[str]:
    room = max(20, columns - _INDENT)
    return [
        " " * _INDENT + line for line in textwrap.wrap(plain(text), room, break_long_words=False)
    ]


def _repaired(repaired: Sequence[RepairedView], *, color: bool) -> list[str]:
    if not repaired:
        return []
    lines = ["", _paint("DONE", "ok", color=color, bold=True)]
    for one in repaired:
        said = plain(one.did) if one.did is not None else f"not done: {plain(one.error or '')}"
        lines.append(f"  {plain(one.id)}: {said}")
    return lines


def _summary(view: CheckupView, *, color: bool) -> str:
    words = {"problem": "problem", "warning": "warning", "note": "note"}
    parts = [
        _paint(counted(view.counts[severity], word), severity, color=color)
        for severity, word in words.items()
        if view.counts[severity]
    ]
    well = counted(view.counts["ok"], "thing")
    order = _paint(f"{well} in order", "ok", color=color)
    return f"{', '.join([*parts, order])}, in {view.took:.1f} s"


def _paint(text: str, severity: str | None, *, color: bool, bold: bool = False) -> str:
    if not color:
        return text
    return click.style(text, fg=None if severity is None else _COLORS[severity], bold=bold)
