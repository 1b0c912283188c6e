"""Draw a plan for a terminal: a table that loses columns where it is narrow, and the reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from localllm.api.views import CandidateView, DeviceView, MemoryView, PlacementView, PlanView
from localllm.cli.bars import Look, bar, legend
from localllm.cli.plan_reasons import explanations, folded, reasons
from localllm.cli.tables import size, speed, table

_BAR, _SHORT_BAR, _ROOMY = 24, 12, 100
"""Columns of a bar, of one in a terminal with less than so many columns."""

_CPU = "cpu"
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
    lines = folded(_title(view), width)
    for warning in view.hardware.warnings:
        lines += folded(f"note: {warning}", width)
    drawn, has_bars = _table(view, width, look)
    lines += ["", *drawn, ""]
    if has_bars:
        lines += [legend(look), ""]
    return [*lines, *reasons(view, width, look), *explanations(view, width)]


def _title(view: PlanView) -> str:
    """The model where there is one, and the machine; cards that are alike are counted."""
    counted = Counter((d.name, d.memory_usable) for d in _meant(view))
    names = [
        f"{f'{count} x ' if count > 1 else ''}{name} "
        f"({size(usable)} usable{' each' if count > 1 else ''})"
        for (name, usable), count in counted.items()
    ]
    return f"{view.model.id} on {', '.join(names)}" if view.model else f"on {', '.join(names)}"


def _meant(view: PlanView) -> Sequence[DeviceView]:
    """The accelerators of the kind that is used, and the host where its memory is one of its own."""
    placed = {_kind(p.device) for c in view.candidates for p in c.placement}
    devices = [d for d in view.hardware.devices if _kind(d.id) in placed or not placed]
    if any(d.unified for d in devices):
        return [d for d in devices if d.id != _CPU]
    return devices


def _kind(device: str) -> str:
    return device.partition(":")[0]


def _columns(view: PlanView, width: int, look: Look) -> list[_Column]:
    usable = {d.id: d.memory_usable or 0 for d in view.hardware.devices}
    bar_width = _BAR if width >= _ROOMY else _SHORT_BAR
    beside = any(_beside(c) for c in view.candidates)
    columns = [
        _Column("model", lambda c: c.model, 0),
        _Column("quant", lambda c: c.quant or "-", 1),
        _Column("context", lambda c: "-" if c.context is None else str(c.context), 2),
        _Column("KV", lambda c: c.kv_type or "-", 9),
        _Column("slots", lambda c: "-" if c.parallel is None else str(c.parallel), 10),
        _Column("memory", lambda c: _bar(c, usable, bar_width, look), 5),
        _Column("device" if beside else "takes", lambda c: size(_total(_used(c))), 3),
        _Column("host", lambda c: size(_total(_beside(c))), 7),
        _Column("weights", lambda c: size(c.memory.weights if c.memory else None), 11),
        _Column("KV cache", lambda c: size(_kept(c)), 12),
        _Column("speed", _speed, 4),
        _Column("quality", lambda c: "-" if c.quality is None else f"{c.quality:.4f}", 13),
        _Column("verdict", lambda c: _verdict(c, look), 1),
    ]
    idle = {"host"} if not beside else set[str]()
    return [c for c in columns if c.title not in idle | ({"model"} if view.model else set())]


def _used(candidate: CandidateView) -> Sequence[PlacementView]:
    """The accelerators; without any, the host."""
    return [p for p in candidate.placement if p.device != _CPU] or candidate.placement


def _beside(candidate: CandidateView) -> Sequence[PlacementView]:
    """The host, where it is beside accelerators."""
    return [p for p in candidate.placement if p not in _used(candidate)]


def _total(parts: Sequence[PlacementView]) -> int | None:
    return sum(p.bytes for p in parts) if parts else None


def _bar(candidate: CandidateView, usable: dict[str, int], width: int, look: Look) -> str:
    """All devices as one."""
    parts = _used(candidate)
    if not parts:
        return "-"
    fields = MemoryView.__struct_fields__
    summed = MemoryView(**{f: sum(getattr(p.memory, f) for p in parts) for f in fields})
    return bar(summed, sum(usable.get(p.device, 0) for p in parts), width=width, look=look)


def _kept(candidate: CandidateView) -> int | None:
    memory = candidate.memory
    return None if memory is None else memory.kv_cache + memory.recurrent_state


def _speed(candidate: CandidateView) -> str:
    """A range until somebody has measured it."""
    spread = candidate.speed.decode_range
    if spread is None:
        return speed(candidate.speed.decode_tps)
    return f"{spread.low:.0f} to {spread.high:.0f} tok/s"


def _verdict(candidate: CandidateView, look: Look) -> str:
    word = (candidate.verdict or "unknown").replace("_", " ")
    return look.styled(word, _VERDICTS.get(candidate.verdict or ""))


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
