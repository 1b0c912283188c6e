"""Prometheus' text of it all. Its library is loaded at the first scrape: 60 ms that others save."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from localllm.metrics import names
from localllm.metrics.counters import Counters
from localllm.metrics.gauges import gauges
from localllm.metrics.names import Kind, Metric
from localllm.metrics.requests import Requests
from localllm.metrics.snapshot import Snapshot
from localllm.metrics.tallies import Spread

if TYPE_CHECKING:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import CollectorRegistry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What every Prometheus since 2014 reads."""


class Exposition:
    """Collects at a scrape; on the event loop, since what it reads changes there.

    Args:
        snapshot: What is, from what is known already: it must not block.
    """

    def __init__(
        self, counters: Counters, requests: Requests, snapshot: Callable[[], Snapshot]
    ) -> None:
        self._counters = counters
        self._requests = requests
        self._snapshot = snapshot
        self._registry: CollectorRegistry | None = None

    def render(self) -> bytes:
        from prometheus_client.exposition import generate_latest  # noqa: PLC0415

        if self._registry is None:
            self._registry = self._make_registry()
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Family]:
        """What prometheus_client asks of a collector."""
        live = self._requests.live()
        for one in live:
            self._counters.flowed(one)
        yield from self._counted()
        shown = {metric: _family(metric) for metric in names.SHOWN}
        for metric, labels, value in gauges(self._snapshot(), live):
            if value is not None:
                shown[metric].add_metric(labels, value)
        yield from shown.values()

    def _counted(self) -> Iterator[Family]:
        for metric, count in self._counters.counts.items():
            family = _family(metric)
            for labels, value in count.by.items():
                family.add_metric(labels, value)
            yield family
        for metric, spread in self._counters.spreads.items():
            yield _histogram(metric, spread)

    def _make_registry(self) -> CollectorRegistry:
        from prometheus_client.process_collector import ProcessCollector  # noqa: PLC0415
        from prometheus_client.registry import CollectorRegistry  # noqa: PLC0415

        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        return registry


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    from prometheus_client import metrics_core as core  # noqa: PLC0415

    if metric.kind is Kind.COUNTER:
        return core.CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    return core.GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


def _histogram(metric: Metric, spread: Spread) -> Family:
    from prometheus_client.metrics_core import HistogramMetricFamily  # noqa: PLC0415

    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*map(str, metric.bounds), "+Inf"]
    for labels, series in spread.by.items():
        at_most = accumulate(series.counts)
        family.add_metric(labels, [*zip(bounds, at_most, strict=True)], series.sum)
    return family
