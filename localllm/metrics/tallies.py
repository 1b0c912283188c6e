"""Sums by label: plain numbers that only grow, within bounds. Pure.

Made into Prometheus' families at a scrape (prometheus.py), so that a daemon which nobody scrapes
never loads its library.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from localllm.metrics.callers import OTHER

Labels = tuple[str, ...]


@dataclass(slots=True)
class Names:
    """The values of one label that anybody may choose: of too many, the later ones are `other`."""

    most: int
    _seen: set[str] = field(default_factory=set[str])

    def within(self, name: str) -> str:
        if name not in self._seen:
            if len(self._seen) >= self.most:
                return OTHER
            self._seen.add(name)
        return name


@dataclass(slots=True)
class Count:
    """A counter's values."""

    by: dict[Labels, float] = field(default_factory=dict[Labels, float])

    def add(self, *labels: str, amount: float = 1) -> None:
        """Add; 0 makes the series known, so that its first rise is seen as one."""
        self.by[labels] = self.by.get(labels, 0) + amount


@dataclass(slots=True)
class Buckets:
    """One series of a histogram: how many fell into each bucket, not into those below."""

    counts: list[int]
    sum: float = 0.0


@dataclass(slots=True)
class Spread:
    """A histogram's values."""

    bounds: Sequence[float]
    by: dict[Labels, Buckets] = field(default_factory=dict[Labels, Buckets])

    def observe(self, value: float, *labels: str) -> None:
        series = self._series(labels)
        series.counts[bisect_left(self.bounds, value)] += 1
        series.sum += value

    def add(self, counts: Sequence[int], total: float, *labels: str) -> None:
        """Take over what was sorted into the same buckets elsewhere."""
        series = self._series(labels)
        series.counts = [a + b for a, b in zip(series.counts, counts, strict=True)]
        series.sum += total

    def _series(self, labels: Labels) -> Buckets:
        if labels not in self.by:
            self.by[labels] = Buckets([0] * (len(self.bounds) + 1))
        return self.by[labels]
