"""Draw a plan for a terminal: a table that loses columns where it is narrow, and the reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from localllm.api.views import CandidateView, PlanView
from localllm.cli.bars import Look, bar, legend
from localllm.cli.plan_reasons import explanations, folded, reasons
from localllm.cli.tables import table
from localllm.wording.figures import DASH, number_of, size_of, speed_of
from localllm.wording.plain import plain
from localllm.wording.plans import title_of, verdict_of
from localllm.wording.takes import beside_bytes, kept_bytes, takes_of, used_bytes

_BAR, _SHORT_BAR, _ROOMY = 24, 12, 100
"""Columns of a bar, of one in a terminal with less than so many columns."""

_VERDICTS = {"fits": "green", "fits_partly": "yellow", "too_big": "red"}


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    cell: Callable[[CandidateView], str]
    needed: int
    """The columns with the smallest numbers stay when there is no room for all."""


def render_plan(view: PlanView, *, width: int, look: Look) -> list[str]:
    """Draw the candidates, the chosen one starred, and why it is the one.

    Args:
        width: Columns of the terminal.
    """
    if not view.candidates:
        return ["no model of the catalog is meant for this use"]
    lines = folded(title_of(view), width)
    for warning in view.hardware.warnings:
        lines += folded(f"note: {warning}", width)
    drawn, has_bars = _table(view, width, look)
    lines += ["", *drawn, ""]
    if has_bars:
        lines += [legend(look), ""]
    return [*lines, *reasons(view, width, look), *explanations(view, width)]


def _columns(view: PlanView, width: int, look: Look) -> list[_Column]:
    devices = view.hardware.devices
    bar_width = _BAR if width >= _ROOMY else _SHORT_BAR
    beside = any(beside_bytes(c) is not None for c in view.candidates)
    columns = [
        _Column("model", lambda c: plain(c.model), 0),
        _Column("quant", lambda c: plain(c.quant or DASH), 1),
        _Column("context", lambda c: number_of(c.context), 2),
        _Column("KV", lambda c: plain(c.kv_type or DASH), 9),
        _Column("slots", lambda c: number_of(c.parallel), 10),
        _Column("memory", lambda c: bar(takes_of(c, devices), width=bar_width, look=look), 5),
        _Column("device" if beside else "takes", lambda c: size_of(used_bytes(c)), 3),
        _Column("host", lambda c: size_of(beside_bytes(c)), 7),
        _Column("weights", lambda c: size_of(c.memory.weights if c.memory else None), 11),
        _Column("KV cache", lambda c: size_of(_cache(c)), 12),
        _Column("speed", _speed, 4),
        _Column("quality", lambda c: DASH if c.quality is None else f"{c.quality:.4f}", 13),
        _Column("verdict", lambda c: _verdict(c, look), 1),
    ]
    idle = {"host"} if not beside else set[str]()
    return [c for c in columns if c.title not in idle | ({"model"} if view.model else set())]


def _cache(candidate: CandidateView) -> int | None:
    return None if candidate.memory is None else kept_bytes(candidate.memory)


def _speed(candidate: CandidateView) -> str:
    """A range until somebody has measured it."""
    spread = candidate.speed.decode_range
    if spread is None:
        return speed_of(candidate.speed.decode_tps)
    return f"{spread.low:.0f} to {spread.high:.0f} tok/s"


def _verdict(candidate: CandidateView, look: Look) -> str:
    return look.styled(verdict_of(candidate.verdict), _VERDICTS.get(candidate.verdict or ""))


def _table(view: PlanView, width: int, look: Look) -> tuple[list[str], bool]:
    """Leave out columns, the least needed first, until the lines fit; and tell if bars are left."""
    columns = _columns(view, width, look)
    cells = [
        ["", *("*" if i == view.choice else "" for i in range(len(view.candidates)))],
        *([c.title, *map(c.cell, view.candidates)] for c in columns),
    ]
    needed = [0, *(c.needed for c in columns)]
    for least in sorted(set(needed), reverse=True):
        kept = [column for column, number in zip(cells, needed, strict=True) if number <= least]
        lines = table(list(zip(*kept, strict=True)))
        if max(len(click.unstyle(line)) for line in lines) <= width or least <= 1:
            drawn = any(c.memory for c in view.candidates)
            return lines, drawn and least >= _needed(columns, "memory")
    raise AssertionError("the columns needed most are shown in any case")


def _needed(columns: Sequence[_Column], title: str) -> int:
    return next(c.needed for c in columns if c.title == title)
