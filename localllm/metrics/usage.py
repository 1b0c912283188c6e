"""What tokens and energy came to, and what they cost: from the ledger's file, with or without a daemon.

`read_usage` reads; the rest is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from localllm.api.usage_views import (
    By,
    DeviceDayView,
    How,
    UsageQuery,
    UsageRowView,
    UsageView,
)
from localllm.config.prices import Cost
from localllm.errors import BadRequest
from localllm.metrics.energy_row import DeviceUse, ModelUse
from localllm.metrics.ledger_totals import DayTotal, EnergyTotals, read_energy, read_totals
from localllm.wording.cost_views import render_cost
from localllm.wording.costs import Measured, Tokens, api_cost, electricity, idle_cost
from localllm.wording.missing_prices import what_is_missing

DAYS = 30
"""That are shown where none are said."""


@dataclass(frozen=True, slots=True)
class Days:
    """From one day to another, both included, in UTC."""

    first: str
    last: str


@dataclass(slots=True)
class _Group:
    """What one row adds up. Mutable."""

    tokens: Tokens = field(default_factory=Tokens)
    by_day: dict[str, int] = field(default_factory=dict[str, int])
    with_energy: Tokens = field(default_factory=Tokens)
    requests: int = 0
    remote: int = 0
    joules: float = 0.0
    busy_s: float = 0.0
    devices: list[DeviceUse] = field(default_factory=list[DeviceUse])

    @property
    def is_told(self) -> bool:
        return self.with_energy.total > 0 or self.joules > 0


def decide_days(query: UsageQuery, now: float, most: int = DAYS) -> Days:
    """Say which days are meant; `now` is in Unix seconds.

    Raises:
        BadRequest: One of them is no day, or the first is after the last.
    """
    last = _day(query.last) if query.last else datetime.fromtimestamp(now, UTC).date()
    first = _day(query.first) if query.first else _before(last, most - 1)
    if first > last:
        raise BadRequest(
            f"There is no day from {first} to {last}.",
            why="the first one is after the last one, which is today unless it is said",
            fix="say a first day that is not after the last one",
            param="from",
        )
    return Days(first.isoformat(), last.isoformat())


def read_usage(file: Path, days: Days, by: By, cost: Cost) -> UsageView:
    """Read what the ledger has of these days, and say what it cost.

    Raises:
        NewerLedger: A later version wrote it.
        LocalLLMError: It cannot be read.
    """
    totals = read_totals(file, days.first, days.last)
    energy = read_energy(file, days.first, days.last)
    return usage_of(totals, energy, days, by, cost)


def usage_of(
    totals: Sequence[DayTotal], energy: EnergyTotals, days: Days, by: By, cost: Cost
) -> UsageView:
    """Put it together."""
    groups = _groups(totals, energy, by)
    whole = _groups(totals, energy, None).get("", _Group())
    measured = measured_of(whole)
    shown = render_cost(measured, cost)
    return UsageView(
        first=days.first,
        last=days.last,
        by=by,
        rows=[_row(name, group, cost) for name, group in sorted(groups.items())],
        total=_row("", whole, cost),
        devices=[_device(use) for use in energy.devices],
        cost=shown,
        missing=[*what_is_missing(measured, cost, untold=_untold(energy.devices))],
    )


def measured_of(group: _Group) -> Measured:
    """Say of all days together what the formulas want to know."""
    by_day: dict[str, float] = {}
    for use in group.devices:
        by_day[use.day] = max(by_day.get(use.day, 0.0), use.loaded_s)
    told = [use.idle_joules for use in group.devices if use.told_s]
    return Measured(
        tokens=group.tokens,
        with_energy=group.with_energy,
        answer_joules=group.joules,
        idle_joules=sum(told) if told else None,
        loaded_s=sum(by_day.values()),
        days=len(by_day),
        busy_s=group.busy_s,
        loaded_tokens=sum(group.by_day.get(day, 0) for day in by_day),
    )


def _groups(
    totals: Iterable[DayTotal], energy: EnergyTotals, by: By | None
) -> Mapping[str, _Group]:
    """Add up by day, model or client; by None all in one, under no name."""
    groups: dict[str, _Group] = {}
    for total in totals:
        group = groups.setdefault(_NAMES[by](total), _Group())
        tokens = _tokens(total)
        group.tokens = group.tokens.plus(tokens)
        group.by_day[total.day] = group.by_day.get(total.day, 0) + tokens.total
        group.remote += total.remote_prompt_tokens + total.remote_generated_tokens
        group.requests += total.requests
    for use in energy.models:
        group = groups.setdefault(_NAMES[by](use), _Group())
        group.with_energy = group.with_energy.plus(_told(use))
        group.joules += use.joules
        group.busy_s += use.busy_s
    if by in {None, "day"}:
        for device in energy.devices:
            groups.setdefault(device.day if by else "", _Group()).devices.append(device)
    return groups


_NAMES: Mapping[By | None, Callable[[DayTotal | ModelUse], str]] = {
    "day": lambda one: one.day,
    "model": lambda one: one.model,
    "client": lambda one: one.client,
    None: lambda _: "",
}


def _tokens(total: DayTotal) -> Tokens:
    cached = total.cached_tokens - total.remote_cached_tokens
    prompt = total.prompt_tokens - total.remote_prompt_tokens
    generated = total.generated_tokens - total.remote_generated_tokens
    return Tokens(max(0, prompt - cached), cached, generated)


def _told(use: ModelUse) -> Tokens:
    read = max(0, use.prompt_tokens - use.cached_tokens)
    return Tokens(read, use.cached_tokens, use.generated_tokens)


def _row(name: str, group: _Group, cost: Cost) -> UsageRowView:
    measured = measured_of(group)
    answers = group.joules if group.is_told else None
    return UsageRowView(
        name=name,
        requests=group.requests,
        input=group.tokens.read,
        cached=group.tokens.cached,
        output=group.tokens.generated,
        remote=group.remote,
        answers=answers,
        measured=_share(group.with_energy.total, group.tokens.total),
        idle=measured.idle_joules,
        electricity=_electricity(answers, measured, cost),
        apis={api: api_cost(group.tokens, prices) for api, prices in cost.apis.items()},
    )


def _electricity(answers: float | None, measured: Measured, cost: Cost) -> float | None:
    """What answers and waiting cost; of what nobody knows, nothing is said."""
    idle = idle_cost(measured, cost) if measured.loaded_s else None
    answering = None if answers is None else electricity(answers, cost)
    known = [one for one in (idle, answering) if one is not None]
    return sum(known) if known else None


def _share(part: int, whole: int) -> float:
    return min(1.0, part / whole) if whole else 0.0


def _device(use: DeviceUse) -> DeviceDayView:
    is_told = use.told_s > 0
    return DeviceDayView(
        day=use.day,
        device=use.device,
        loaded=use.loaded_s,
        told=use.told_s,
        joules=use.joules if is_told else None,
        idle=use.idle_joules if is_told else None,
        how=_how(use),
    )


def _how(use: DeviceUse) -> How | None:
    if not use.told_s:
        return None
    if not use.sampled_s:
        return "counted"
    return "sampled" if use.sampled_s >= use.told_s else "both"


def _untold(devices: Iterable[DeviceUse]) -> Sequence[str]:
    """Devices that never told what they used."""
    told: dict[str, float] = {}
    for use in devices:
        told[use.device] = told.get(use.device, 0.0) + use.told_s
    return sorted(device for device, seconds in told.items() if not seconds)


def _before(day: date, days: int) -> date:
    """Go back so many days, or to the first that there is."""
    return date.fromordinal(max(date.min.toordinal(), day.toordinal() - days))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(
            f"{text} is no day.", why=str(error), fix="write it as in 2026-11-29"
        ) from error
