"""The formulas of what tokens cost: by hand for a few, by their laws for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.config.prices import ApiPrices, Cost
from localllm.wording.costs import (
    Measured,
    Meeting,
    Tokens,
    api_cost,
    decide_crossover,
    electricity,
    fixed_per_day,
    hardware_per_day,
    here_per_token,
    idle_cost,
    most_per_day,
    whole_cost,
)

prices = st.floats(0, 1_000)
per_token = st.floats(0, 1e-3)
counts = st.integers(0, 10**9)
tokens = st.builds(Tokens, counts, counts, counts)
apis = st.builds(
    ApiPrices,
    input=prices,
    output=prices,
    cached_input=st.one_of(st.none(), prices),
    cache_write=st.one_of(st.none(), prices),
)
DAY = Measured(
    tokens=Tokens(600, 300, 100),
    with_energy=Tokens(600, 300, 100),
    answer_joules=3_600_000.0,
    idle_joules=1_800_000.0,
    loaded_s=7200.0,
    days=2,
    busy_s=100.0,
)


def test_a_kilowatt_hour_at_the_wall_costs_its_price() -> None:
    assert electricity(3_600_000, Cost(electricity_per_kwh=0.3)) == pytest.approx(0.3)
    lossy = Cost(electricity_per_kwh=0.3, psu_efficiency=0.75)
    assert electricity(3_600_000, lossy) == pytest.approx(0.4)
    assert electricity(3_600_000, Cost()) is None


@pytest.mark.parametrize(
    ("asked", "cost"),
    [
        (ApiPrices(input=1, output=5), 2 * 1 + 4 * 1 + 3 * 5),
        (ApiPrices(input=1, output=5, cached_input=0.1), 2 * 1 + 4 * 0.1 + 3 * 5),
        (
            ApiPrices(input=1, output=5, cached_input=0.1, cache_write=1.25),
            2 * 1.25 + 4 * 0.1 + 3 * 5,
        ),
    ],
)
def test_an_api_asks_for_each_kind_of_token_its_own_price(asked: ApiPrices, cost: float) -> None:
    assert api_cost(Tokens(2_000_000, 4_000_000, 3_000_000), asked) == pytest.approx(cost)


def test_a_day_costs_what_waiting_takes_and_the_hardware_loses() -> None:
    cost = Cost(electricity_per_kwh=0.4, hardware_price=1461, hardware_years=2)

    assert hardware_per_day(cost) == pytest.approx(2.0)
    assert fixed_per_day(DAY, cost) == pytest.approx(0.1 + 2.0)
    assert here_per_token(DAY, cost) == pytest.approx(0.4 / 1000)
    assert whole_cost(DAY, cost) == pytest.approx(2 * 2.1 + 0.4)
    assert most_per_day(DAY) == pytest.approx(864_000)


def test_watts_at_the_wall_that_the_user_says_go_before_what_devices_tell() -> None:
    cost = Cost(electricity_per_kwh=0.5, idle_watts=100, psu_efficiency=0.5)

    assert idle_cost(DAY, cost) == pytest.approx(0.1)


@given(first=tokens, second=tokens, asked=apis)
def test_an_api_asks_as_much_for_both_as_for_each(
    first: Tokens, second: Tokens, asked: ApiPrices
) -> None:
    both = api_cost(first.plus(second), asked)

    assert both == pytest.approx(api_cost(first, asked) + api_cost(second, asked), abs=1e-9)


@given(fixed=st.floats(0, 1e4), here=per_token, there=per_token)
def test_where_they_meet_both_cost_the_same(fixed: float, here: float, there: float) -> None:
    meeting = decide_crossover(fixed, here, there)

    if meeting.kind is Meeting.AT:
        at = meeting.tokens_per_day
        assert at is not None
        assert at > 0
        assert fixed + at * here == pytest.approx(at * there, rel=1e-6)
    else:
        assert meeting.tokens_per_day is None


@given(
    fixed=st.floats(0, 1e4),
    here=per_token,
    there=per_token,
    day=st.floats(1, 1e9),
)
def test_beyond_it_a_day_is_less_here_and_before_it_there(
    fixed: float, here: float, there: float, day: float
) -> None:
    meeting = decide_crossover(fixed, here, there)
    ours, theirs = fixed + day * here, day * there

    match meeting.kind:
        case Meeting.NEVER:
            assert ours >= theirs
        case Meeting.ALWAYS:
            assert ours < theirs
        case Meeting.AT:
            at = meeting.tokens_per_day
            assert at is not None
            if day > at * 1.001:
                assert ours <= theirs * (1 + 1e-9)
            elif day < at * 0.999:
                assert ours >= theirs * (1 - 1e-9)
        case Meeting.UNKNOWN:
            pytest.fail("everything is known")


@given(
    fixed=st.floats(0.01, 1e4),
    here=st.floats(0, 1e-5),
    there=st.floats(2e-5, 1e-3),
    more=st.floats(1.1, 10),
)
def test_dearer_days_move_it_up_and_dearer_apis_move_it_down(
    fixed: float, here: float, there: float, more: float
) -> None:
    at = decide_crossover(fixed, here, there).tokens_per_day
    dearer_day = decide_crossover(fixed * more, here, there).tokens_per_day
    dearer_api = decide_crossover(fixed, here, there * more).tokens_per_day

    assert at is not None
    assert dearer_day is not None
    assert dearer_api is not None
    assert dearer_api < at < dearer_day


@pytest.mark.parametrize(
    ("fixed", "here", "there"), [(None, 1e-6, 2e-6), (1.0, None, 2e-6), (1.0, 1e-6, None)]
)
def test_of_what_is_not_known_nothing_is_said(
    fixed: float | None, here: float | None, there: float | None
) -> None:
    assert decide_crossover(fixed, here, there).kind is Meeting.UNKNOWN


def test_a_day_that_costs_nothing_is_always_less_and_a_dear_token_never() -> None:
    assert decide_crossover(0.0, 1e-6, 2e-6).kind is Meeting.ALWAYS
    assert decide_crossover(0.0, 2e-6, 1e-6).kind is Meeting.NEVER
    assert decide_crossover(5.0, 1e-6, 1e-6).kind is Meeting.NEVER
    assert decide_crossover(5.0, 0.0, 5e-324).kind is Meeting.NEVER, "infinity is no day's count"
