"""Perplexity, and two models beside each other."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.quality.perplexity import beside, divergence_of, foresight_of
from tests.unit.quality.some_facts import a_token, scored, some_facts


def test_a_model_that_halves_each_time_has_a_perplexity_of_two() -> None:
    told = foresight_of([scored([0.5] * 10)])

    assert told is not None
    assert told.perplexity == pytest.approx(2)
    assert told.bits_per_byte == pytest.approx(1 / 4), "one bit for a token of four bytes"


def test_what_is_no_number_is_counted_and_left_out() -> None:
    told = foresight_of([scored([0.5, None, 0.5, None])])

    assert told is not None
    assert (told.tokens, told.lost) == (2, 2)
    assert told.perplexity == pytest.approx(2)
    assert told.bits_per_byte == pytest.approx(1 / 4)


def test_without_a_number_there_is_no_perplexity() -> None:
    assert foresight_of([scored([None, None])]) is None
    assert foresight_of([]) is None


def test_a_kind_of_text_is_summed_up_alone() -> None:
    both = [scored([0.5] * 4), scored([0.25] * 4, kind="code", name="b")]

    english = foresight_of(both, "english")

    assert english is not None
    assert english.perplexity == pytest.approx(2)


def test_two_that_say_the_same_are_no_apart() -> None:
    pair = beside(some_facts(), some_facts())

    assert pair is not None
    assert (pair.more_nats, pair.error_nats, pair.divergence) == (0, 0, 0)
    assert pair.same_first == 1


def test_the_growth_of_the_perplexity_is_the_mean_of_the_differences() -> None:
    worse = some_facts(scored=(scored([0.25, 0.5] * 50),))

    pair = beside(worse, some_facts())

    assert pair is not None
    assert pair.more_nats == pytest.approx(math.log(2) / 2)
    assert 0 < pair.error_nats < pair.more_nats
    assert pair.surely_more_nats == pytest.approx(pair.more_nats - 2 * pair.error_nats)


def test_passages_that_are_cut_differently_are_not_compared() -> None:
    other = some_facts(scored=(scored([0.5] * 99),))

    assert beside(some_facts(), other) is None


def test_results_of_other_texts_are_not_compared() -> None:
    assert beside(some_facts(), some_facts(texts_version=2)) is None


def test_the_same_distribution_diverges_by_nothing() -> None:
    one = a_token(1, 0.5, (2, 0.3), (3, 0.1))

    assert divergence_of(one, one) == pytest.approx(0, abs=1e-9)


def test_another_one_diverges_by_what_is_known_of_both() -> None:
    true, told = a_token(1, 0.8, (2, 0.2)), a_token(1, 0.4, (2, 0.6))

    bound = 0.8 * math.log(0.8 / 0.4) + 0.2 * math.log(0.2 / 0.6)
    assert divergence_of(true, told) == pytest.approx(bound, rel=1e-6)


shares = st.lists(st.floats(0.01, 1.0), min_size=6, max_size=6)


@given(shares, shares, st.integers(1, 6))
def test_the_bound_never_exceeds_the_divergence(a: list[float], b: list[float], top: int) -> None:
    p, q = ([one / sum(told) for one in told] for told in (a, b))
    true = sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))

    def known(told: list[float]) -> list[tuple[int, float]]:
        return sorted(enumerate(told), key=lambda one: -one[1])[:top]

    one, other = known(p), known(q)
    bound = divergence_of(a_token(*one[0], *one[1:]), a_token(*other[0], *other[1:]))
    assert bound <= true + 1e-9
