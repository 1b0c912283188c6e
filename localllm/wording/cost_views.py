"""What it costs here, beside what others ask for the same: the view of it. Pure."""

from __future__ import annotations

from localllm.api.usage_views import ApiView, CostView
from localllm.config.prices import ApiPrices, Cost
from localllm.wording.costs import (
    Crossover,
    Measured,
    api_cost,
    api_per_token,
    decide_crossover,
    fixed_per_day,
    hardware_per_day,
    here_per_token,
    idle_cost,
    most_per_day,
    whole_cost,
)

_MILLION = 1_000_000


def render_cost(measured: Measured, cost: Cost) -> CostView:
    """Say what a day and a million tokens cost here, and where each API meets that."""
    here, fixed, idle = here_per_token(measured, cost), fixed_per_day(measured, cost), None
    if measured.days:
        whole = idle_cost(measured, cost)
        idle = None if whole is None else whole / measured.days
    daily = measured.loaded_tokens / measured.days if measured.days else None
    most = most_per_day(measured)
    return CostView(
        currency=cost.currency,
        electricity_per_kwh=cost.electricity_per_kwh,
        per_million=_million(here),
        idle_per_day=idle,
        idle_from=None if idle is None else "measured" if cost.idle_watts is None else "entered",
        hardware_per_day=hardware_per_day(cost),
        fixed_per_day=fixed,
        days=measured.days,
        whole=whole_cost(measured, cost),
        tokens_per_day=daily,
        most_per_day=most,
        apis=[_api(name, one, measured, (fixed, here, most)) for name, one in cost.apis.items()],
    )


def _api(
    name: str,
    prices: ApiPrices,
    measured: Measured,
    known: tuple[float | None, float | None, float | None],
) -> ApiView:
    fixed, here, most = known
    there = api_per_token(measured.tokens, prices)
    meeting = decide_crossover(fixed, here, there)
    return ApiView(
        name=name,
        cost=api_cost(measured.tokens, prices),
        per_million=_million(there),
        crossover=meeting.kind.value,
        tokens_per_day=meeting.tokens_per_day,
        reachable=_is_reachable(meeting, most),
    )


def _is_reachable(meeting: Crossover, most: float | None) -> bool | None:
    if meeting.tokens_per_day is None or most is None:
        return None
    return meeting.tokens_per_day <= most


def _million(per_token: float | None) -> float | None:
    return None if per_token is None else per_token * _MILLION
