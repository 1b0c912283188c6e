"""What is measured where nobody says it, and what cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.bench.errors import NotMeasurable
from localllm.bench.points import Wish, points_of


def test_without_a_word_depths_fit_and_concurrency_goes_up_to_the_slots() -> None:
    points = points_of(Wish(), context=32768, slots=6)

    assert [p.depth_tokens for p in points if p.at_once == 1] == [0, 4096, 16384]
    assert [p.at_once for p in points if p.at_once > 1] == [2, 4, 6]
    assert {(p.prompt_tokens, p.answer_tokens) for p in points} == {(512, 128)}


def test_what_fills_the_context_is_in_the_cache_unless_it_is_to_be_cold() -> None:
    warm = points_of(Wish(depths=[0, 1000]), context=8192, slots=1)
    cold = points_of(Wish(depths=[0, 1000], is_cold=True), context=8192, slots=1)

    assert [p.is_warm for p in warm] == [False, True]
    assert [p.is_warm for p in cold] == [False, False]


def test_a_depth_beyond_the_context_is_refused_with_the_most_there_may_be() -> None:
    with pytest.raises(NotMeasurable) as refused:
        points_of(Wish(depths=[0, 9000]), context=8192, slots=1)

    assert refused.value.exit_code == 2
    assert "9000" in refused.value.what
    assert "7536 at most" in refused.value.fix
    points_of(Wish(depths=[7536]), context=8192, slots=1)


def test_a_prompt_that_does_not_fit_is_refused() -> None:
    with pytest.raises(NotMeasurable, match="do not fit") as refused:
        points_of(Wish(prompt_tokens=8000, answer_tokens=180), context=8192, slots=1)

    assert "8000 tokens of a prompt, 180 of an answer and 16 for" in refused.value.why


def test_more_at_once_than_there_are_slots_is_measured_as_asked() -> None:
    points = points_of(Wish(depths=[0], at_once=[1, 9]), context=8192, slots=4)

    assert [(p.depth_tokens, p.at_once) for p in points] == [(0, 1), (0, 9)]


@given(context=st.integers(128, 1 << 20), slots=st.integers(1, 64))
def test_whatever_is_served_something_that_fits_is_measured(context: int, slots: int) -> None:
    points = points_of(Wish(), context=context, slots=slots)

    assert points
    assert all(p.context_tokens < context for p in points)
    assert max(p.at_once for p in points) == slots
