"""Figures of answers, by hand and against other people's arithmetic."""

from __future__ import annotations

import random
import statistics

import pytest

from localllm.bench.figures import Heap, Volley, figures_of, gaps_of, throughput_tps
from localllm.bench.points import Point
from localllm.bench.shots import Timings
from localllm.bench.spread import latency_of, quantile, spread_of
from tests.unit.bench.a_bench import shown

SINGLE = Point(0, 1, 100, 5, is_warm=False)


def test_a_single_stream_is_read_and_written_at_its_speeds() -> None:
    heap = Heap(SINGLE, [Volley([shown(0.5, 0.6, 0.7, 0.8, 0.9, cached_tokens=50)], 1.0, 0.0)])

    figures = figures_of(heap)

    assert figures.prefill is not None
    assert figures.decode is not None
    assert figures.prefill.median == pytest.approx(50 / 0.5)
    assert figures.decode.median == pytest.approx(10.0)
    assert figures.first_token is not None
    assert figures.first_token.p50 == 0.5
    assert (figures.prompt_tokens, figures.cached_tokens) == (100.0, 50.0)


def test_of_a_cache_that_nobody_tells_of_the_reading_has_no_speed() -> None:
    warm, cold = Point(900, 1, 100, 5, is_warm=True), Point(0, 1, 1000, 5, is_warm=False)
    volley = Volley([shown(0.5, 0.6, prompt_tokens=1000, cached_tokens=None)], 1.0, 0.0)

    assert figures_of(Heap(warm, [volley])).prefill is None
    assert figures_of(Heap(cold, [volley])).prefill is not None


def test_throughput_is_of_all_from_the_first_request_to_the_last_byte() -> None:
    volley = Volley([shown(1.0, 2.0, sent_at=0.5), shown(1.5, 4.5, sent_at=1.0)], 0.0, 0.0)

    assert throughput_tps(volley) == pytest.approx(4 / 4.0)


def test_a_volley_with_a_failure_has_no_throughput_and_is_counted() -> None:
    good, bad = shown(1.0, 2.0), shown(error="the queue is full")
    heap = Heap(Point(0, 2, 100, 2, is_warm=False), [Volley([good, bad], 0.0, 0.0)])

    figures = figures_of(heap)

    assert figures.throughput is None
    assert (figures.requests, figures.failed, figures.error) == (2, 1, "the queue is full")
    assert figures.decode is not None


def test_the_engines_own_clock_is_shown_beside() -> None:
    timings = Timings(read_tokens=90, read_s=0.3, written_tokens=5, written_s=0.4)
    figures = figures_of(Heap(SINGLE, [Volley([shown(1.0, 2.0, timings=timings)], 0.0, 0.0)]))

    assert figures.engine.prefill_tps == pytest.approx(300.0)
    assert figures.engine.decode_tps == pytest.approx(10.0)


def test_gaps_are_one_fewer_than_pieces() -> None:
    assert gaps_of(shown(1.0, 1.25, 2.0)) == [0.25, 0.75]
    assert gaps_of(shown(1.0)) == []


def test_quantiles_are_those_of_the_standard_library() -> None:
    source = random.Random(18)
    for n in (2, 3, 7, 100, 999):
        values = sorted(source.expovariate(1.0) for _ in range(n))
        theirs = statistics.quantiles(values, n=100, method="inclusive")
        for percent in (50, 95, 99):
            assert quantile(values, percent / 100) == pytest.approx(theirs[percent - 1])


def test_slow_ones_of_few_are_not_told() -> None:
    few, more, many = (latency_of([1.0] * n) for n in (19, 20, 100))

    assert few is not None
    assert more is not None
    assert many is not None
    assert (few.p95, few.max) == (None, 1.0)
    assert (more.p95, more.p99) == (1.0, None)
    assert many.p99 == 1.0
    assert latency_of([]) is None


def test_a_spread_is_the_middle_half() -> None:
    spread = spread_of([5.0, 1.0, 3.0, 2.0, 4.0])

    assert spread is not None
    assert (spread.median, spread.low, spread.high, spread.n) == (3.0, 2.0, 4.0, 5)
    assert spread_of([]) is None
