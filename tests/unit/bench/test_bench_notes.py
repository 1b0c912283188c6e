"""What a report says of its figures in words."""

from __future__ import annotations

import pytest

from localllm.api.bench_views import LatencyView, PointView
from localllm.bench.reporting import notes_of_answers
from tests.unit.bench.a_bench import point

DEEP = {"depth": 4096, "warm": True}


def gaps(n: int) -> LatencyView:
    return LatencyView(mean=0.01, p50=0.01, p95=None, p99=None, max=0.01, n=n)


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (point(), None),
        (point(generated_tokens=20.0), "heeds no ignore_eos"),
        (point(failed=1, error="refused"), "1 request failed; the first one: refused"),
        (point(**DEEP, cached_tokens=4090.0), None),
        (point(**DEEP, cached_tokens=0.0), "not found in the cache at depth 4,096"),
        (point(**DEEP, cached_tokens=None), "does not tell what its cache had"),
        (point(token_gap=gaps(3 * 127)), None),
        (point(token_gap=gaps(3 * 63)), "several tokens at once"),
    ],
)
def test_what_would_be_misread_is_said(seen: PointView, says: str | None) -> None:
    notes = [*notes_of_answers([seen])]

    assert (says is None and notes == []) or (len(notes) == 1 and says in notes[0])


def test_a_point_that_failed_altogether_says_nothing_of_the_cache() -> None:
    gone = point(**DEEP, failed=3, error="refused", cached_tokens=None, generated_tokens=None)

    assert len([*notes_of_answers([gone])]) == 1
