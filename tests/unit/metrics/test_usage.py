"""What tokens and energy came to, by day, model and client, and what they cost."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from localllm.api.usage_views import UsageQuery
from localllm.config.prices import ApiPrices, Cost
from localllm.errors import BadRequest
from localllm.metrics.energy_row import DeviceUse, ModelUse
from localllm.metrics.ledger_totals import DayTotal, EnergyTotals
from localllm.metrics.usage import Days, decide_days, usage_of
from localllm.wording.cost_text import sentences
from tests.unit.metrics.a_live import NOON

DAYS = Days("2027-01-14", "2027-01-15")
PRICES = ApiPrices(input=2.0, output=10.0, cached_input=0.5)
COST = Cost(currency="EUR", electricity_per_kwh=0.36, apis={"big": PRICES})


def total(day: str, model: str, client: str, prompt: int, cached: int, out: int) -> DayTotal:
    return DayTotal(day, model, client, 2, 0, 0, prompt, cached, out, 0, 9.0, 0, 0.0)


TOTALS = [
    total("2027-01-14", "m", "ide", 1_000_000, 400_000, 100_000),
    total("2027-01-15", "m", "agent", 500_000, 0, 0),
    total("2027-01-15", "big", "agent", 0, 0, 200_000),
]
ENERGY = EnergyTotals(
    [
        DeviceUse("2027-01-14", "cuda:0", 3600.0, 3600.0, 0.0, 5_400_000.0, 1_800_000.0),
        DeviceUse("2027-01-15", "cuda:0", 3600.0, 3600.0, 3600.0, 2_800_000.0, 1_000_000.0),
        DeviceUse("2027-01-15", "cpu", 100.0, 0.0, 0.0, 0.0, 0.0),
    ],
    [
        ModelUse("2027-01-14", "m", "ide", 3_600_000.0, 900.0, 1_000_000, 400_000, 100_000),
        ModelUse("2027-01-15", "m", "agent", 1_800_000.0, 100.0, 500_000, 0, 0),
    ],
)


def test_a_row_has_tokens_energy_and_both_prices_to_the_cent() -> None:
    usage = usage_of(TOTALS, ENERGY, DAYS, "day", COST)

    first, second = usage.rows
    assert (first.name, first.input, first.cached, first.output) == (
        *("2027-01-14", 600_000, 400_000, 100_000),
    )
    assert (first.answers, first.idle, first.measured) == (3_600_000.0, 1_800_000.0, 1.0)
    assert first.electricity == pytest.approx(0.36 + 0.18)
    assert first.apis == {"big": pytest.approx(1.20 + 0.20 + 1.00)}
    assert second.measured == pytest.approx(5 / 7), "nobody knows of the other model"
    assert usage.total.electricity == pytest.approx(0.36 + 0.18 + 0.18 + 0.10)
    assert usage.total.requests == 6


@pytest.mark.parametrize(
    ("by", "names", "answers"),
    [
        ("model", ["big", "m"], [None, 5_400_000.0]),
        ("client", ["agent", "ide"], [1_800_000.0, 3_600_000.0]),
    ],
)
def test_models_and_clients_have_the_energy_of_their_answers_and_none_of_the_waiting(
    by: str, names: list[str], answers: list[float | None]
) -> None:
    usage = usage_of(TOTALS, ENERGY, DAYS, by, COST)  # type: ignore[arg-type]

    assert [row.name for row in usage.rows] == names
    assert [row.answers for row in usage.rows] == answers
    assert {row.idle for row in usage.rows} == {None}
    assert usage.total.idle == 2_800_000.0


def test_a_device_says_how_its_energy_is_known_and_null_where_it_is_not() -> None:
    first, second, cpu = usage_of(TOTALS, ENERGY, DAYS, "day", COST).devices

    assert (first.how, second.how, cpu.how) == ("counted", "sampled", None)
    assert (cpu.joules, cpu.idle, cpu.loaded) == (None, None, 100.0)


def test_what_a_day_costs_and_where_both_meet_follow_from_all_days() -> None:
    cost = usage_of(TOTALS, ENERGY, DAYS, "day", COST).cost

    assert cost.days == 2
    assert cost.idle_per_day == pytest.approx(0.14)
    assert cost.idle_from == "measured"
    assert cost.per_million == pytest.approx(0.54 / 1.6)
    [api] = cost.apis
    there = (2.0 * 1_100_000 + 0.5 * 400_000 + 10.0 * 300_000) / 1_800_000
    assert api.per_million == pytest.approx(there)
    assert api.crossover == "at"
    assert api.tokens_per_day == pytest.approx(0.14 / (there - 0.54 / 1.6) * 1e6)
    assert api.reachable is True


@pytest.mark.parametrize(("price", "reachable"), [(100.0, True), (1e9, False)])
def test_a_crossover_beyond_what_the_machine_could_do_is_said_to_be(
    price: float, *, reachable: bool
) -> None:
    cost = msgspec.structs.replace(COST, hardware_price=price, hardware_years=1.0)

    usage = usage_of(TOTALS[:2], ENERGY, DAYS, "day", cost)

    assert usage.cost.most_per_day == pytest.approx(1_600_000 / 1000 * 86_400)
    assert [api.reachable for api in usage.cost.apis] == [reachable]
    assert ("more than the 138 M that this" in " ".join(sentences(usage))) is not reachable


def test_days_before_energy_was_counted_are_not_in_the_tokens_of_a_day() -> None:
    old = [total(f"2026-12-{day}", "m", "ide", 9_000_000, 0, 0) for day in range(10, 30)]

    usage = usage_of([*old, *TOTALS], ENERGY, DAYS, "day", COST)

    assert usage.cost.tokens_per_day == pytest.approx(900_000)


def test_what_is_known_of_nearly_all_is_not_said_to_be_known_of_all() -> None:
    more = total("2027-01-15", "m", "agent", 1_000, 0, 0)

    said = " ".join(sentences(usage_of([*TOTALS[:2], more], ENERGY, DAYS, "day", COST)))

    assert "(known of 99% of the tokens)" in " ".join(said.split())


def test_what_a_remote_has_answered_is_said_and_is_in_no_other_figure() -> None:
    elsewhere = replace(
        total("2027-01-15", "m", "ide", 3_000_000, 0, 0), remote_prompt_tokens=3_000_000
    )

    usage = usage_of([*TOTALS, elsewhere], ENERGY, DAYS, "day", COST)

    assert usage.total.input == usage_of(TOTALS, ENERGY, DAYS, "day", COST).total.input
    assert "remote: 3.0 M tokens beside these" in " ".join(sentences(usage))


def test_without_prices_there_are_tokens_and_energy_and_what_lacks_is_said() -> None:
    usage = usage_of(TOTALS, ENERGY, DAYS, "day", Cost())

    assert usage.total.electricity is None
    assert usage.total.answers == 5_400_000.0
    assert (usage.cost.per_million, usage.cost.apis) == (None, [])
    assert usage.missing[:2] == [
        "the price of electricity is not in config.toml",
        "the prices of no API are in config.toml",
    ]
    assert "what cpu uses is not told by the device" in usage.missing


def test_without_any_energy_nothing_is_guessed() -> None:
    untold = EnergyTotals([DeviceUse("2027-01-14", "cpu", 99.0, 0.0, 0.0, 0.0, 0.0)], [])

    usage = usage_of(TOTALS, untold, DAYS, "day", COST)

    assert usage.total.answers is usage.total.idle is usage.total.electricity is None
    assert [api.crossover for api in usage.cost.apis] == ["unknown"]
    assert "the energy of no request is known yet" in usage.missing


def test_an_empty_ledger_is_no_error() -> None:
    usage = usage_of([], EnergyTotals(), DAYS, "day", COST)

    assert (usage.rows, usage.total.requests) == ([], 0)
    assert usage.missing == ["no tokens were read or written in these days"]


def test_the_users_own_watts_go_before_what_devices_tell() -> None:
    cost = Cost(electricity_per_kwh=0.36, idle_watts=100, psu_efficiency=0.5)

    usage = usage_of(TOTALS, ENERGY, DAYS, "day", cost)

    assert usage.cost.idle_per_day == pytest.approx(0.036)
    assert usage.cost.idle_from == "entered"
    assert usage.cost.per_million == pytest.approx(2 * 0.54 / 1.6)


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        (None, None, ("2026-12-17", "2027-01-15")),
        ("2027-01-15", None, ("2027-01-15", "2027-01-15")),
        (None, "2027-01-01", ("2026-12-03", "2027-01-01")),
        (None, "0001-01-05", ("0001-01-01", "0001-01-05")),
    ],
)
def test_the_last_thirty_days_are_meant_unless_others_are_said(
    first: str | None, last: str | None, days: tuple[str, str]
) -> None:
    meant = decide_days(UsageQuery(first=first, last=last), NOON)

    assert (meant.first, meant.last) == days


@pytest.mark.parametrize(("first", "last"), [("2027-02-30", None), ("2027-01-15", "2027-01-14")])
def test_days_that_are_none_are_refused(first: str, last: str | None) -> None:
    with pytest.raises(BadRequest):
        decide_days(UsageQuery(first=first, last=last), NOON)
