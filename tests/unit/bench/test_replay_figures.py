"""What a pass came to: its speeds, its cache beside the recorded one, its lateness."""

from __future__ import annotations

from typing import Any

import pytest

from localllm.bench.replay import Played
from localllm.bench.replay_figures import most_at_once, pass_of, recorded_pass
from localllm.bench.replay_plan import Turn
from localllm.bench.shots import Shot, Shown
from tests.unit.bench.a_shape import a_shape


def played(number: int, *, due: float = 0.0, waited: float = 0.0, **said: Any) -> Played:
    """One that was read for 0.5 s and said 8 tokens, 0.1 s apart."""
    shape = a_shape(number, cached_tokens=30)
    usual: dict[str, Any] = {
        "shot": Shot("/v1/completions", b""),
        "sent_at": due,
        "first_byte_at": due + 0.5,
        "token_times": tuple(due + 0.5 + n / 10 for n in range(8)),
        "ended_at": due + 1.5,
        "prompt_tokens": 40,
        "cached_tokens": 30,
        "generated_tokens": 8,
        "request": f"req_{number}",
    }
    return Played(Turn(shape, due, None, 0.0), Shown(**{**usual, **said}), due, waited)


def test_a_pass_is_summed_up() -> None:
    view = pass_of([played(1), played(2, due=0.5)], 5.0, {"req_1": 0.2}, 32)

    assert (view.requests, view.failed, view.took, view.most_at_once) == (2, 0, 2.0, 2)
    assert (view.written_tps, view.read_tps, view.requests_per_s) == (8.0, 10.0, 1.0)
    assert view.first_token is not None
    assert view.first_token.p50 == 0.5
    assert view.token_gap is not None
    assert (view.token_gap.n, view.token_gap.p50) == (14, pytest.approx(0.1))
    assert view.wait is not None
    assert (view.wait.n, view.wait.p50) == (1, 0.2)
    assert (view.exact_prompts, view.exact_answers) == (2, 2)


def test_the_cache_is_set_beside_the_recorded_one() -> None:
    view = pass_of(
        [played(1), played(2, cached_tokens=0), played(3, cached_tokens=None)], 1, {}, 16
    )

    assert (view.cache.share, view.cache.recorded) == (30 / 80, 60 / 80)
    assert (view.cache.alike, view.cache.requests) == (1, 2)


def test_failures_are_counted_by_what_they_say_and_not_among_the_times() -> None:
    failed = [played(n, error="status 503", token_times=()) for n in (1, 2)]

    view = pass_of([*failed, played(3, error="cut"), played(4)], 1.0, {}, 32)

    assert (view.failed, view.requests) == (3, 4)
    assert [(f.says, f.requests) for f in view.failures] == [("status 503", 2), ("cut", 1)]
    assert view.request is not None
    assert view.request.n == 1


def test_lateness_is_the_benchs_own_and_not_the_wait_for_the_turn_before() -> None:
    view = pass_of([played(1, sent_at=0.3), played(2, due=1.0, sent_at=5.0, waited=4.0)], 1, {}, 32)

    assert view.late is not None
    assert (view.late.max, view.late.n) == (0.3, 2)


def test_what_was_recorded_is_summed_up_likewise() -> None:
    shapes = [
        a_shape(1, cached_tokens=0, first_token_ms=200.0),
        a_shape(2, cached_tokens=30, ended="failed", error="engine_gone"),
    ]

    view = recorded_pass(shapes)

    assert (view.rate, view.requests, view.failed, view.took) == (None, 2, 1, 1.5)
    assert (view.written_tps, view.read_tps) == (8 / 1.5, 40 / 1.5)
    assert (view.cache.share, view.most_at_once) == (0.0, 1)
    assert view.failures[0].says == "engine_gone"
    assert view.first_token is not None
    assert view.first_token.p50 == 0.2
    assert view.request is not None
    assert view.request.n == 1, "as in a pass, failures are not among the times"


def test_of_a_trace_without_ends_nothing_is_made_up() -> None:
    view = recorded_pass([a_shape(n, total_ms=None) for n in (1, 2)])

    assert (view.took, view.most_at_once, view.request) == (1.0, None, None)
    assert (view.written_tps, view.read_tps, view.requests_per_s) == (None, None, None)


def test_what_was_read_is_not_known_where_nobody_told_what_was_cached() -> None:
    view = recorded_pass([a_shape(1)])

    assert (view.written_tps, view.read_tps) == (16.0, None)


def test_one_that_ends_when_another_begins_is_not_beside_it() -> None:
    assert most_at_once([(0, 1), (1, 2)]) == 1
    assert most_at_once([]) == 0
