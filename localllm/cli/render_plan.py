"""Draw a plan for a terminal: a table that loses columns where it is narrow, and the reasons."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from localllm.api.views import CandidateView, ExplainedView, PlanView
from localllm.cli.bars import bar, legend
from localllm.cli.tables import size, speed, table

_BAR = 24
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_VERDICTS = {"fits": "green", "fits_partly": "yellow", "too_big": "red"}


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    cell: Callable[[CandidateView], str]
    needed: int
    """The columns with the smallest numbers stay when there is no room for all."""


def render_plan(view: PlanView, *, width: int, color: bool) -> list[str]:
    """Draw the candidates, the chosen one starred, and why it is the one.

    Args:
        width: Columns of the terminal.
        color: Whether it shows colours; words say the same.
    """
    if not view.candidates:
        return ["no model of the catalog is meant for this use"]
    lines = [f"on {_where(view)}", *_warnings(view), "", *_table(view, width, color), ""]
    if any(c.memory for c in view.candidates):
        lines += [legend(color=color), ""]
    lines += _reasons(view, color)
    return lines + _explanations(view)


def _where(view: PlanView) -> str:
    placed = {p.device for c in view.candidates for p in c.placement}
    names = [
        f"{d.name} ({size(d.memory_usable)} usable)"
        for d in view.hardware.devices
        if d.id in placed or not placed
    ]
    return ", ".join(names)


def _warnings(view: PlanView) -> list[str]:
    return [f"note: {text}" for text in view.hardware.warnings]


def _columns(view: PlanView, *, color: bool) -> list[_Column]:
    several = len({c.model for c in view.candidates}) > 1 or view.model is None
    usable = {d.id: d.memory_usable or 0 for d in view.hardware.devices}
    return [
        _Column("model", lambda c: c.model, 0 if several else 6),
        _Column("quant", lambda c: c.quant or "-", 1),
        _Column("context", lambda c: "-" if c.context is None else str(c.context), 2),
        _Column("KV", lambda c: c.kv_type or "-", 9),
        _Column("slots", lambda c: "-" if c.parallel is None else str(c.parallel), 10),
        _Column("memory", lambda c: _bar(c, usable, color=color), 5),
        _Column("total", lambda c: size(c.memory.total if c.memory else None), 3),
        _Column("weights", lambda c: size(c.memory.weights if c.memory else None), 11),
        _Column("KV cache", lambda c: size(_kept(c)), 12),
        _Column("speed", _speed, 4),
        _Column("quality", lambda c: "-" if c.quality is None else f"{c.quality:.4f}", 13),
        _Column("verdict", lambda c: _verdict(c, color=color), 1),
    ]


def _bar(candidate: CandidateView, usable: dict[str, int], *, color: bool) -> str:
    """The devices that have layers, as one."""
    parts = [p for p in candidate.placement if p.layers] or candidate.placement[:1]
    if not parts or candidate.memory is None:
        return "-"
    fields = candidate.memory.__struct_fields__
    summed = {f: sum(getattr(p.memory, f) for p in parts) for f in fields}
    memory = type(candidate.memory)(**summed)
    return bar(memory, sum(usable.get(p.device, 0) for p in parts), width=_BAR, color=color)


def _kept(candidate: CandidateView) -> int | None:
    memory = candidate.memory
    return None if memory is None else memory.kv_cache + memory.recurrent_state


def _speed(candidate: CandidateView) -> str:
    spread = candidate.speed.decode_range
    if spread is None:
        return speed(candidate.speed.decode_tps)
    return f"{spread.low:.0f} to {spread.high:.0f} tok/s"


def _verdict(candidate: CandidateView, *, color: bool) -> str:
    word = (candidate.verdict or "unknown").replace("_", " ")
    shade = _VERDICTS.get(candidate.verdict or "")
    return click.style(word, fg=shade) if color and shade else word


def _table(view: PlanView, width: int, color: bool) -> list[str]:  # noqa: FBT001
    """Leave out columns, the least needed first, until the lines fit."""
    columns, lines = _columns(view, color=color), list[str]()
    for least in range(max(c.needed for c in columns), -1, -1):
        shown = [c for c in columns if c.needed <= least]
        rows = [["", *(c.title for c in shown)]]
        for i, candidate in enumerate(view.candidates):
            mark = "*" if i == view.choice else ""
            rows.append([mark, *(c.cell(candidate) for c in shown)])
        lines = table(rows)
        if max(_length(line) for line in lines) <= width:
            break
    return lines


def _length(line: str) -> int:
    return len(_STYLE.sub("", line))


def _reasons(view: PlanView, color: bool) -> list[str]:  # noqa: FBT001
    lines = []
    if view.why is not None:
        lines += [click.style(view.why, bold=True) if color else view.why, ""]
    for i, candidate in enumerate(view.candidates):
        name = _name(candidate, view)
        if i == view.choice:
            lines.insert(0, f"* {name}: {candidate.reason}")
        elif candidate.lacks is None or candidate.verdict in {"too_big", None}:
            lines.append(f"  {name}: {candidate.reason}")
        else:
            lines.append(f"  {name} {candidate.lacks}.")
    if view.advice is not None:
        lines += ["", view.advice]
    return lines


def _name(candidate: CandidateView, view: PlanView) -> str:
    one = view.model is not None and candidate.quant is not None
    return (
        candidate.quant or "" if one else " ".join(filter(None, (candidate.model, candidate.quant)))
    )


def _explanations(view: PlanView) -> list[str]:
    lines: list[str] = []
    for candidate in view.candidates:
        if candidate.explanation:
            lines += ["", f"{_name(candidate, view)}, number by number:"]
            lines += table([_explained(e) for e in candidate.explanation])
            lines += _explained_speed(candidate)
    return lines


def _explained(explained: ExplainedView) -> Sequence[str]:
    part = explained.part.replace("_", " ").replace("kv", "KV")
    return [f"  {explained.device}", part, size(explained.bytes), f"= {explained.formula}"]


def _explained_speed(candidate: CandidateView) -> list[str]:
    told = candidate.speed
    if told.decode_tps is None or told.decode_tps_full is None:
        return []
    lines = [
        f"  one stream: {told.decode_tps:.0f} tok/s at an empty cache, "
        f"{told.decode_tps_full:.0f} at a full one ({told.source})"
    ]
    first = told.first_token
    if first is not None and first.cold is not None and first.cached is not None:
        lines.append(
            f"  first token of a prompt of {first.prompt_tokens}: {first.cold:.1f} s cold, "
            f"{first.cached:.2f} s from the cache"
        )
    return lines
