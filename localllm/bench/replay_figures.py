"""What one pass of a replay came to, and the same of the recording. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from localllm.api.bench_views import LatencyView
from localllm.api.replay_views import CacheView, FailureView, PassView
from localllm.api.traffic_file import Shape
from localllm.bench.figures import gaps_of
from localllm.bench.replay import Played
from localllm.bench.spread import latency_of

_MS = 1000.0
_MOST_FAILURES = 5


def pass_of(
    played: Sequence[Played], rate: float, waits: Mapping[str, float], block_tokens: int
) -> PassView:
    """Sum up a pass.

    Args:
        waits: In the daemon's queue, by the requests' ids there.
    """
    good = [one for one in played if one.shown.error is None]
    shown = [one.shown for one in good]
    spans = [(one.shown.sent_at, one.shown.ended_at) for one in played]
    took_s = _length(spans)
    known = _known(waits.get(one.request or "") for one in shown)
    return PassView(
        rate=rate,
        requests=len(played),
        failed=len(played) - len(good),
        failures=_failures(one.shown.error for one in played),
        took=took_s,
        written_tps=_per_s(sum(one.tokens for one in shown), took_s),
        read_tps=_per_s(sum(one.read_tokens or 0 for one in shown), took_s),
        requests_per_s=_per_s(len(good), took_s),
        first_token=latency_of(_known(one.first_token_s for one in shown)),
        token_gap=latency_of([gap for one in shown for gap in gaps_of(one)]),
        request=latency_of([one.took_s for one in shown]),
        wait=latency_of(known),
        late=latency_of([one.late_s for one in played]),
        most_at_once=most_at_once(spans),
        cache=_cache(good, block_tokens),
        exact_prompts=sum(one.shown.prompt_tokens == one.turn.shape.input_length for one in good),
        exact_answers=sum(one.shown.tokens == wanted_tokens(one.turn.shape) for one in good),
    )


def recorded_pass(shapes: Sequence[Shape]) -> PassView:
    """Sum up what was recorded of the requests that are sent; of failed ones, as of a pass's, no times."""
    spans = [(one.timestamp / _MS, (one.timestamp + (one.total_ms or 0)) / _MS) for one in shapes]
    took_s = _length(spans)
    has_ends = any(one.total_ms is not None for one in shapes)  # a trace of Mooncake's has none
    failed = [one for one in shapes if one.ended == "failed"]
    good = [one for one in shapes if one.ended != "failed"]
    knowing = [one for one in good if one.input_length and one.cached_tokens is not None]
    read = sum((one.input_length or 0) - (one.cached_tokens or 0) for one in good)
    share = _share(
        sum(one.cached_tokens or 0 for one in knowing),
        sum(one.input_length or 0 for one in knowing),
    )
    return PassView(
        rate=None,
        requests=len(shapes),
        failed=len(failed),
        failures=_failures(one.error or "failed" for one in failed),
        took=took_s,
        written_tps=_per_s(sum(one.output_length for one in good), took_s) if has_ends else None,
        read_tps=_per_s(read, took_s) if has_ends and knowing else None,
        requests_per_s=_per_s(len(good), took_s) if has_ends else None,
        first_token=_latency_of_ms(one.first_token_ms for one in good),
        token_gap=_latency_of_ms(one.gap_ms for one in good),
        request=_latency_of_ms(one.total_ms for one in good),
        wait=_latency_of_ms(one.wait_ms for one in good),
        late=None,
        most_at_once=most_at_once(spans) if has_ends else None,
        cache=CacheView(share=share, recorded=share, alike=len(knowing), requests=len(knowing)),
        exact_prompts=len(shapes),
        exact_answers=len(shapes),
    )


def wanted_tokens(shape: Shape) -> int:
    """How long the answer is to be: an engine writes one token at least."""
    return max(1, shape.output_length)


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """Count how many went on at the same time at most.

    >>> most_at_once([(0, 2), (1, 3), (2, 4)])
    2
    """
    steps = [step for begin, end in spans for step in ((begin, 1), (end, -1))]
    return max(accumulate(change for _, change in sorted(steps)), default=0)


def _cache(good: Sequence[Played], block_tokens: int) -> CacheView:
    known = [
        (one.shown.cached_tokens, one.turn.shape.cached_tokens, one.turn.shape.input_length or 0)
        for one in good
        if one.shown.cached_tokens is not None and one.turn.shape.cached_tokens is not None
    ]
    total = sum(length for _, _, length in known)
    return CacheView(
        share=_share(sum(now or 0 for now, _, _ in known), total),
        recorded=_share(sum(then or 0 for _, then, _ in known), total),
        alike=sum(abs((now or 0) - (then or 0)) <= block_tokens for now, then, _ in known),
        requests=len(known),
    )


def _failures(errors: Iterable[str | None]) -> list[FailureView]:
    counts = Counter(error for error in errors if error is not None)
    return [FailureView(says=says, requests=n) for says, n in counts.most_common(_MOST_FAILURES)]


def _length(spans: Sequence[tuple[float, float]]) -> float:
    return max(e for _, e in spans) - min(b for b, _ in spans) if spans else 0.0


def _per_s(count: float, took_s: float) -> float | None:
    return count / took_s if took_s > 0 else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _latency_of_ms(values: Iterable[float | None]) -> LatencyView | None:
    return latency_of([value / _MS for value in _known(values)])


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
