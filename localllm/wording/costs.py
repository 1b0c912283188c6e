"""What tokens cost here and elsewhere, and from how many a day on it is less here. Pure.

Here a day costs something however many tokens there are (a model in memory that waits, the computer
itself), and each token something more (the energy above that):

    here(t)      = fixed + t * here_per_token
    elsewhere(t) = t * api_per_token
    crossover    = fixed / (api_per_token - here_per_token)

for t tokens a day in the mix that there was: so many of prompts, so many of those cached, so many
of answers. Amounts are in the user's own currency; energy is in joules, and money goes by the kWh.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import isinf

from localllm.config.prices import ApiPrices, Cost

JOULES_PER_KWH = 3_600_000
DAY_S = 86_400
_MILLION = 1_000_000
_DAYS_PER_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Tokens:
    """Counts of one kind each: no token is in two of them."""

    read: int = 0
    """Of prompts, those that were not in a cache."""

    cached: int = 0
    generated: int = 0

    @property
    def total(self) -> int:
        return self.read + self.cached + self.generated

    def plus(self, other: Tokens) -> Tokens:
        return Tokens(
            self.read + other.read, self.cached + other.cached, self.generated + other.generated
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """What some days came to."""

    tokens: Tokens
    """All of them: the mix."""

    with_energy: Tokens
    """Those whose energy is known."""

    answer_joules: float
    """Of `with_energy`; above what the devices use idle."""

    idle_joules: float | None
    """With a model in memory and nobody asking; None where no device tells."""

    loaded_s: float
    """How long a model was in memory."""

    days: int
    """On which one was, as far as that was counted."""

    busy_s: float = 0.0
    """How long engines were at work for `with_energy`."""

    loaded_tokens: int = 0
    """Of `tokens`, those of these days: what is older than the counting of energy is not among them."""


class Meeting(StrEnum):
    """Whether it is ever less here."""

    AT = "at"
    """From so many tokens a day on."""

    ALWAYS = "always"
    """A token costs less here, and a day nothing."""

    NEVER = "never"
    """A token costs no more there than its energy here."""

    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Crossover:
    """Where both cost the same."""

    kind: Meeting
    tokens_per_day: float | None = None
    """None unless it is `AT`."""


def wall_joules(joules: float, cost: Cost) -> float:
    """What the wall gives so that devices get this."""
    return joules / cost.psu_efficiency


def electricity(joules: float, cost: Cost) -> float | None:
    """What energy of devices costs; None without a price."""
    if cost.electricity_per_kwh is None:
        return None
    return wall_joules(joules, cost) / JOULES_PER_KWH * cost.electricity_per_kwh


def api_cost(tokens: Tokens, prices: ApiPrices) -> float:
    """What an API would ask for the same: what is not in its cache is put there, and read from there."""
    read = prices.input if prices.cache_write is None else prices.cache_write
    cached = prices.input if prices.cached_input is None else prices.cached_input
    whole = tokens.read * read + tokens.cached * cached + tokens.generated * prices.output
    return whole / _MILLION


def api_per_token(mix: Tokens, prices: ApiPrices) -> float | None:
    """What one token of a mix costs there; None where there is none."""
    return api_cost(mix, prices) / mix.total if mix.total else None


def here_per_token(measured: Measured, cost: Cost) -> float | None:
    """What the energy of one token costs; None where it was never measured, or without a price."""
    if not measured.with_energy.total:
        return None
    whole = electricity(measured.answer_joules, cost)
    return None if whole is None else whole / measured.with_energy.total


def idle_cost(measured: Measured, cost: Cost) -> float | None:
    """What waiting costed in all; None where nobody has measured it or said so, or without a price.

    What the user says is at the wall, and goes before what devices tell.
    """
    if cost.electricity_per_kwh is None:
        return None
    if cost.idle_watts is not None:
        return cost.idle_watts * measured.loaded_s / JOULES_PER_KWH * cost.electricity_per_kwh
    return None if measured.idle_joules is None else electricity(measured.idle_joules, cost)


def hardware_per_day(cost: Cost) -> float:
    """What the computer loses of its price in a day; nothing where no price is said."""
    if cost.hardware_price is None or cost.hardware_years is None:
        return 0.0
    return cost.hardware_price / (cost.hardware_years * _DAYS_PER_YEAR)


def fixed_per_day(measured: Measured, cost: Cost) -> float | None:
    """What a day costs before the first token, on average of those on which a model was in memory."""
    idle = idle_cost(measured, cost)
    if idle is None or not measured.days:
        return None
    return idle / measured.days + hardware_per_day(cost)


def whole_cost(measured: Measured, cost: Cost) -> float | None:
    """What the days cost, with the hardware; None where it is not known for all of the tokens."""
    fixed = fixed_per_day(measured, cost)
    answers = electricity(measured.answer_joules, cost)
    if fixed is None or answers is None or measured.with_energy.total < measured.tokens.total:
        return None
    return fixed * measured.days + answers


def decide_crossover(fixed: float | None, here: float | None, elsewhere: float | None) -> Crossover:
    """Say from how many tokens a day on it is less here.

    Args:
        fixed: A day's, before the first token.
        here: A token's.
        elsewhere: A token's, at an API.
    """
    if fixed is None or here is None or elsewhere is None:
        return Crossover(Meeting.UNKNOWN)
    if here >= elsewhere:
        return Crossover(Meeting.NEVER)
    if fixed <= 0:
        return Crossover(Meeting.ALWAYS)
    tokens_per_day = fixed / (elsewhere - here)
    if isinf(tokens_per_day):  # prices that are next to nothing
        return Crossover(Meeting.NEVER)
    return Crossover(Meeting.AT, tokens_per_day)


def most_per_day(measured: Measured) -> float | None:
    """How many tokens a day of nothing else would bring, as fast as those with known energy came."""
    if measured.busy_s <= 0 or not measured.with_energy.total:
        return None
    return measured.with_energy.total / measured.busy_s * DAY_S
