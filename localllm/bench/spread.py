"""Figures about many figures: the middle, how far they lie apart, and the slow ones. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from localllm.api.bench_views import LatencyView, SpreadView

LEAST_FOR_P95, LEAST_FOR_P99 = 20, 100
"""With fewer values, the slowest one of twenty or a hundred is not among them."""


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share of them lies, between neighbours in proportion.

    Args:
        ordered: From the least on; at least one.

    Source: Hyndman and Fan, Sample Quantiles in Statistical Packages (1996), type 7, which numpy's
    percentile and statistics.quantiles(method="inclusive") are as well.
    """
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def spread_of(values: Sequence[float]) -> SpreadView | None:
    """The median of repeats and the quartiles around it; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return SpreadView(
        median=quantile(ordered, 0.5),
        low=quantile(ordered, 0.25),
        high=quantile(ordered, 0.75),
        n=len(ordered),
    )


def latency_of(seconds: Sequence[float]) -> LatencyView | None:
    """How long something took, the slow ones too; None of nothing."""
    if not seconds:
        return None
    ordered, n = sorted(seconds), len(seconds)
    return LatencyView(
        mean=sum(ordered) / n,
        p50=quantile(ordered, 0.5),
        p95=quantile(ordered, 0.95) if n >= LEAST_FOR_P95 else None,
        p99=quantile(ordered, 0.99) if n >= LEAST_FOR_P99 else None,
        max=ordered[-1],
        n=n,
    )
