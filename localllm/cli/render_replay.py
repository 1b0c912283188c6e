"""Draws a replay for a terminal. Pure: a view in, lines out."""

from __future__ import annotations

from collections.abc import Iterator

from localllm.api.bench_views import LatencyView
from localllm.api.replay_views import AllBenchesView, PassView, ReplayView
from localllm.cli.tables import table
from localllm.wording.figures import DASH, count_of, counted, duration_of, percent
from localllm.wording.plain import plain

_MS = 1000
_FEW = 10
_MANY = 100
_NOTICED_LATE_S = 0.05


def render_replay(view: ReplayView, before: ReplayView | None = None) -> list[str]:
    """Draw the recording, each pass below it, and what is to be said of them.

    Args:
        before: An earlier replay of the same traffic, to compare with.
    """
    head = [
        "rate",
        "requests",
        "failed",
        "took",
        "at once",
        "written/s",
        "read/s",
        "cached",
        "then",
    ]
    passes = [view.recorded, *view.passes]
    until = ["rate", "queue p50", "p95", "first token p50", "p95", "p99"]
    after = ["rate", "token gap p50", "p95", "p99", "request p50", "p95"]
    lines = [*_title(view), "", *table([head, *map(_speeds, passes)])]
    lines += ["", *table([until, *map(_until_it_answers, passes)])]
    lines += ["", *table([after, *map(_then, passes)]), ""]
    if view.recorded.token_gap is not None:
        lines.append("recorded gaps are each request's average, those of a replay one by one")
    for one in view.passes:
        lines += _of_pass(one)
    lines += _beside(view, before) if before is not None else []
    lines += [f"note: {plain(note)}" for note in view.notes]
    return [*lines, *([f"saved as {view.id}"] if view.saved else [])]


def render_replays(view: AllBenchesView) -> list[str]:
    """Draw a table of saved replays; nothing where there is none."""
    if not view.replays:
        return []
    head = ["replay", "traffic", "requests", "rates", "written"]
    return ["", *table([head, *map(_saved, view.replays)])]


def _saved(view: ReplayView) -> list[str]:
    part = " (part)" if view.interrupted else ""
    return [
        f"{view.id}{part}",
        plain(view.traffic.rpartition("/")[2]),
        count_of(view.sent),
        ", ".join(_rate(one) for one in view.passes),
        ", ".join(_tps(one.written_tps) for one in view.passes),
    ]


def _title(view: ReplayView) -> list[str]:
    model = view.model
    how = "turns wait for the ones before" if view.closed else "sent when they are due"
    left = f", {counted(view.left_out, 'request')} left out" if view.left_out else ""
    return [
        f"{counted(view.sent, 'request')} of {plain(view.traffic)}",
        f"to {plain(model.id)} by {model.engine}, context {count_of(model.context)}, {how}{left}",
    ]


def _speeds(one: PassView) -> list[str]:
    return [
        _rate(one),
        count_of(one.requests),
        count_of(one.failed),
        duration_of(one.took),
        count_of(one.most_at_once),
        _per_s(one.written_tps),
        _per_s(one.read_tps),
        percent(one.cache.share),
        percent(one.cache.recorded),
    ]


def _until_it_answers(one: PassView) -> list[str]:
    return [_rate(one), *_quantiles(one.wait, 2), *_quantiles(one.first_token, 3)]


def _then(one: PassView) -> list[str]:
    return [_rate(one), *_quantiles(one.token_gap, 3), *_quantiles(one.request, 2)]


def _of_pass(one: PassView) -> Iterator[str]:
    """What is worth a line."""
    good = one.requests - one.failed
    lengths = f"{one.exact_prompts} of {good} prompts and {one.exact_answers} answers"
    yield f"rate {_rate(one)}: {lengths} are as long as recorded"
    if one.cache.requests:
        alike = f"{one.cache.alike} of {one.cache.requests} found as much in the cache"
        yield f"rate {_rate(one)}: {alike} as recorded, but for a block"
    if one.late is not None and one.late.max > _NOTICED_LATE_S:
        yield f"rate {_rate(one)}: sent up to {_time(one.late.max)} late, which is this machine's"
    for failure in one.failures:
        yield f"rate {_rate(one)}: {counted(failure.requests, 'request')} failed: {plain(failure.says)}"


def _beside(view: ReplayView, before: ReplayView) -> Iterator[str]:
    yield f"beside {before.id}:"
    earlier = {one.rate: one for one in before.passes}
    for one in view.passes:
        then = earlier.get(one.rate)
        if then is None:
            continue
        first = [_time(None if p.first_token is None else p.first_token.p50) for p in (then, one)]
        yield (
            f"  rate {_rate(one)}: {_tps(then.written_tps)} then, {_tps(one.written_tps)} now; "
            f"first token p50 {first[0]} then, {first[1]} now"
        )


def _rate(one: PassView) -> str:
    return "recorded" if one.rate is None else f"{one.rate:g}"


def _quantiles(latency: LatencyView | None, count: int) -> list[str]:
    if latency is None:
        return [DASH] * count
    return [_time(value) for value in (latency.p50, latency.p95, latency.p99)[:count]]


def _tps(value: float | None) -> str:
    return DASH if value is None else f"{_per_s(value)} tok/s"


def _per_s(value: float | None) -> str:
    if value is None:
        return DASH
    return f"{value:,.0f}" if value >= _FEW else f"{value:.1f}"


def _time(seconds: float | None) -> str:
    """Milliseconds below a second."""
    if seconds is None:
        return DASH
    if seconds >= 1:
        return duration_of(seconds)
    ms = seconds * _MS
    return f"{ms:.0f} ms" if ms >= _MANY else f"{ms:.1f} ms"
