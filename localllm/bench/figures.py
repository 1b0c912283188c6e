"""What the answers to one point's requests come to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

from localllm.api.bench_views import EngineSaysView, PointView
from localllm.bench.points import Point
from localllm.bench.shots import Shown
from localllm.bench.spread import latency_of, quantile, spread_of


@dataclass(frozen=True, slots=True)
class Volley:
    """Requests that were sent together."""

    shown: Sequence[Shown]
    wall_s: float
    """The bench's own clock around it, as `cpu_s` is its own processor time."""

    cpu_s: float


@dataclass(slots=True)
class Heap:
    """All volleys of one point, and what else was seen of it. Mutable."""

    point: Point
    volleys: list[Volley] = field(default_factory=list[Volley])
    memory_bytes: int | None = None
    device_memory_bytes: int | None = None
    energy_j: float | None = None
    foreign: int = 0

    @property
    def shown(self) -> list[Shown]:
        return [one for volley in self.volleys for one in volley.shown]


def figures_of(heap: Heap) -> PointView:
    """Sum a point up."""
    shown = heap.shown
    good = [one for one in shown if one.error is None]
    single = heap.point.at_once == 1
    knows_read = not heap.point.is_warm or all(one.cached_tokens is not None for one in good)
    return PointView(
        depth=heap.point.depth_tokens,
        concurrency=heap.point.at_once,
        prompt=heap.point.prompt_tokens,
        generate=heap.point.answer_tokens,
        warm=heap.point.is_warm,
        requests=len(shown),
        failed=len(shown) - len(good),
        error=next((one.error for one in shown if one.error is not None), None),
        prompt_tokens=_mean(one.prompt_tokens for one in good),
        cached_tokens=_mean(one.cached_tokens for one in good),
        generated_tokens=_mean(one.tokens for one in good),
        prefill=spread_of(_known(map(prefill_tps, good))) if single and knows_read else None,
        decode=spread_of(_known(map(decode_tps, good))),
        first_token=latency_of(_known(one.first_token_s for one in good)),
        token_gap=latency_of([gap for one in good for gap in gaps_of(one)]),
        request=latency_of([one.took_s for one in good]),
        throughput=spread_of(_known(map(throughput_tps, heap.volleys))),
        engine=_by_the_engine(good),
        memory=heap.memory_bytes,
        device_memory=heap.device_memory_bytes,
        energy=heap.energy_j,
        foreign=heap.foreign,
    )


def prefill_tps(one: Shown) -> float | None:
    """Tokens read per second, until the first one of the answer is here."""
    read, first_s = one.read_tokens, one.first_token_s
    return read / first_s if read and first_s else None


def decode_tps(one: Shown) -> float | None:
    """Tokens per second after the first."""
    return None if not one.token_gap_s else 1 / one.token_gap_s


def gaps_of(one: Shown) -> list[float]:
    """From one token to the next, as they came; a piece of several tokens is one gap."""
    return [later - earlier for earlier, later in pairwise(one.token_times)]


def throughput_tps(volley: Volley) -> float | None:
    """Tokens of all answers per second, from the first request to the last byte.

    None where one failed: the others had its share of the machine.
    """
    shown = volley.shown
    if not shown or any(one.error is not None for one in shown):
        return None
    took_s = max(one.ended_at for one in shown) - min(one.sent_at for one in shown)
    return sum(one.tokens for one in shown) / took_s if took_s > 0 else None


def _by_the_engine(good: Sequence[Shown]) -> EngineSaysView:
    timings = [one.timings for one in good if one.timings is not None]
    prefill = [t.read_tokens / t.read_s for t in timings if t.read_s > 0]
    # the first token comes with the prompt; llama.cpp's clock of the others starts after it
    decode = [(t.written_tokens - 1) / t.written_s for t in timings if t.written_s > 0]
    return EngineSaysView(prefill_tps=_median(prefill), decode_tps=_median(decode))


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return fmean(known) if known else None


def _median(values: Sequence[float]) -> float | None:
    return quantile(sorted(values), 0.5) if values else None
