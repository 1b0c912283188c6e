"""Which models a key may use, and how often it may ask."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.errors import Forbidden, RateExceeded
from localllm.gateway.callers import LOCALS, Caller, Rates, check_model

LIMITED = Caller("ann", "a1", frozenset({"small", "coding"}))


@pytest.mark.parametrize(
    "names",
    [
        ("small", None),
        ("small", "localllm"),
        ("big", "coding"),
        ("big", "x", "small"),
        ("Small", None),
    ],
)
def test_a_key_may_use_a_model_by_its_id_or_by_a_name_on_its_list(names: tuple[str, ...]) -> None:
    check_model(LIMITED, *names)


@pytest.mark.parametrize("names", [("big", None), ("big", "localllm"), ("", None)])
def test_any_other_is_refused_with_the_list(names: tuple[str, ...]) -> None:
    with pytest.raises(Forbidden, match="it is for coding, small"):
        check_model(LIMITED, *names)


def test_who_needs_no_key_and_a_key_without_a_list_may_use_all() -> None:
    check_model(LOCALS, "big", None)
    check_model(Caller("bob", "b1"), "big", None)


def refused_at(rates: Rates, caller: Caller, *times: float) -> list[float | None]:
    """Ask at these times; tell for each when it may be asked again, None if it was answered."""
    waits = list[float | None]()
    for now in times:
        try:
            rates.count(caller, now)
            waits.append(None)
        except RateExceeded as error:
            waits.append(error.retry_after_s)
    return waits


def test_a_key_that_asks_too_often_is_told_when_it_may_again() -> None:
    twice = Caller("ann", "a1", per_minute=2)

    waits = refused_at(Rates(), twice, 0.0, 10.0, 20.0, 59.0, 60.0, 60.5, 70.0)

    assert waits == [None, None, 40.0, 1.0, None, 9.5, None]


def test_each_key_has_its_own_rate_and_who_has_none_asks_at_will() -> None:
    rates = Rates()
    ann, bob = (Caller(name, name, per_minute=1) for name in ("ann", "bob"))

    assert refused_at(rates, ann, 0.0, 1.0) == [None, 59.0]
    assert refused_at(rates, bob, 1.0) == [None]
    assert refused_at(rates, LOCALS, *[1.0] * 100) == [None] * 100


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(0, 40 << 10), max_size=40))
def test_no_minute_has_more_than_it_may_and_waiting_as_told_is_enough(
    per_minute: int, gaps: list[int]
) -> None:
    rates, caller, now = Rates(), Caller("ann", "a1", per_minute=per_minute), 0.0
    answered = list[float]()
    for gap in gaps:
        now += gap / 1024  # so that sums are exact
        [wait_s] = refused_at(rates, caller, now)
        if wait_s is not None:
            assert wait_s > 0
            now += wait_s
            assert refused_at(rates, caller, now) == [None]
        answered.append(now)

    for end in answered:
        assert sum(end - 60.0 < at <= end for at in answered) <= per_minute
