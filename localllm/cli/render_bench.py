"""Draws a bench for a terminal. Pure: a view in, lines out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from localllm.api.bench_views import (
    BenchesView,
    BenchView,
    ChangeView,
    ComparisonView,
    LatencyView,
    PointView,
    SpreadView,
)
from localllm.cli.tables import table
from localllm.wording.figures import DASH, count_of, duration_of, size_of

_MS = 1000
_HALF = 2
_FEW = 10
"""Below it a figure has a digit behind the point."""


def render_bench(view: BenchView) -> list[str]:
    """Draw what was measured, what it is beside the plan and beside an earlier run."""
    lines = [_title(view)]
    lines += _single([p for p in view.points if p.concurrency == 1])
    lines += _crowd([p for p in view.points if p.concurrency > 1])
    lines += ["", *_about(view)]
    if view.comparison is not None:
        lines += ["", *_comparison(view.comparison)]
    lines += [f"note: {note}" for note in view.notes]
    return [*lines, *([f"saved as {view.id}"] if view.saved else [])]


def render_runs(view: BenchesView) -> list[str]:
    """Draw a table of saved runs."""
    if not view.runs and not view.left_out:
        return ["no bench is saved; localllm bench makes one"]
    rows = [["run", "quant", "decode tok/s", "all tok/s", ""], *map(_run, view.runs)]
    return [*(table(rows) if view.runs else []), *(f"left out: {said}" for said in view.left_out)]


def _run(view: BenchView) -> list[str]:
    single = next((p for p in view.points if p.concurrency == 1), None)
    most = max((p.throughput.median for p in view.points if p.throughput is not None), default=None)
    decode = None if single is None else single.decode
    return [
        view.id,
        view.model.quant or DASH,
        _figure(None if decode is None else decode.median),
        _figure(most),
        "part" if view.interrupted else "",
    ]


def _title(view: BenchView) -> str:
    model = view.model
    version = f" {model.engine_version}" if model.engine_version else ""
    name = f"{model.id} {model.quant or ''}".strip()
    slots = f"{model.parallel} slot{'s' if model.parallel != 1 else ''}"
    return (
        f"{name} by {model.engine}{version} on {model.device}, "
        f"context {count_of(model.context)}, {slots}"
    )


def _single(points: Sequence[PointView]) -> list[str]:
    if not points:
        return []
    prompt, answer = points[0].prompt, points[0].generate
    head = ["depth", "prefill tok/s", "decode tok/s", "first token", "gap p50", "p95", "p99"]
    title = f"one request at a time: {count_of(prompt)} tokens read, {count_of(answer)} written"
    if any(point.depth and not point.warm for point in points):
        title += ", each depth read anew"
    return ["", title, *table([head, *map(_single_row, points)])]


def _single_row(point: PointView) -> list[str]:
    return [
        count_of(point.depth),
        _spread(point.prefill),
        _spread(point.decode),
        _time(None if point.first_token is None else point.first_token.p50),
        *_gaps(point.token_gap),
    ]


def _crowd(points: Sequence[PointView]) -> list[str]:
    if not points:
        return []
    speeds = ["at once", "all tok/s", "each tok/s", "first token p50", "p95", "most"]
    waits = ["at once", "gap p50", "p95", "p99", "request p50", "p95"]
    return [
        *("", "several at once, nothing in the cache"),
        *table([speeds, *map(_speeds_row, points)]),
        *("", *table([waits, *map(_waits_row, points)])),
    ]


def _speeds_row(point: PointView) -> list[str]:
    first = point.first_token
    return [
        str(point.concurrency),
        _spread(point.throughput),
        _spread(point.decode),
        _time(None if first is None else first.p50),
        _time(None if first is None else first.p95),
        _time(None if first is None else first.max),
    ]


def _waits_row(point: PointView) -> list[str]:
    request = point.request
    return [
        str(point.concurrency),
        *_gaps(point.token_gap),
        _time(None if request is None else request.p50),
        _time(None if request is None else request.p95),
    ]


def _gaps(gap: LatencyView | None) -> list[str]:
    return [_time(None if gap is None else value) for value in _three(gap)]


def _three(gap: LatencyView | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if gap is None else (gap.p50, gap.p95, gap.p99)


def _about(view: BenchView) -> Iterator[str]:
    resident = max((p.memory for p in view.points if p.memory is not None), default=None)
    devices = max((p.device_memory or 0 for p in view.points), default=0)
    yield (
        f"memory: planned {size_of(view.predicted.memory)}, by the engine's log "
        f"{size_of(view.memory_measured)}, resident {size_of(resident)}"
        + (f", in use on devices {size_of(devices)}" if devices else "")
    )
    energies = [p for p in view.points if p.energy is not None]
    if energies:
        written = sum((p.generated_tokens or 0) * (p.requests - p.failed) for p in energies)
        joules = sum(p.energy or 0.0 for p in energies)
        each = f", {joules / written:.2f} J for each token written" if written else ""
        yield f"energy: {joules:.0f} J of all devices{each}"
    yield f"plan: {view.predicted.says}"
    yield (
        f"the bench itself: {view.own.cpu:.2f} s of processor in {duration_of(view.own.wall)}, "
        f"{view.own.share:.1%} of a core"
    )


def _comparison(view: ComparisonView) -> Iterator[str]:
    yield f"beside {view.run} ({_when(view.at)}):"
    yield from (f"  not as then: {difference}" for difference in view.differences)
    if not view.changes:
        yield "  nothing of it was measured alike"
    yield from (f"  {_change(change)}" for change in view.changes)


def _change(one: ChangeView) -> str:
    where = f"depth {count_of(one.depth)}" if one.concurrency == 1 else f"{one.concurrency} at once"
    what = one.figure.replace("_", " ")
    if one.noise is None:
        judged = "measured once, so nobody knows whether that is noise"
    elif one.verdict == "the same":
        judged = f"the same (noise {one.noise:.0%})"
    else:
        judged = f"{one.verdict}, beyond the noise of {one.noise:.0%}"
    if one.figure == "first_token":
        return f"{where}, {what}: {_time(one.before)} then, {_time(one.now)} now, {one.change:+.0%}: {judged}"
    return f"{where}, {what}: {_figure(one.before)} then, {_figure(one.now)} now, {one.change:+.0%}: {judged}"


def _spread(spread: SpreadView | None) -> str:
    """A median, with how far the middle half of the repeats lies around it."""
    if spread is None:
        return DASH
    middle = _figure(spread.median)
    if spread.n < _HALF or not spread.median:
        return middle
    return f"{middle} ±{(spread.high - spread.low) / _HALF / spread.median:.0%}"


def _figure(value: float | None) -> str:
    if value is None:
        return DASH
    return f"{value:,.0f}" if value >= _FEW * _FEW else f"{value:.1f}"


def _time(seconds: float | None) -> str:
    """Milliseconds below a second."""
    if seconds is None:
        return DASH
    if seconds >= 1:
        return duration_of(seconds) if seconds >= _FEW else f"{seconds:.2f} s"
    ms = seconds * _MS
    return f"{ms:.0f} ms" if ms >= _FEW * _FEW else f"{ms:.1f} ms"


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
