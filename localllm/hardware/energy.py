"""What devices tell of the energy they use, and what they used between two looks. Pure.

A counter is exact however far apart the looks are. Where a device only tells what it draws now, that
is added up over the time between looks, which misses what happens in between: `Way` says which it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LONGEST_GAP_S = 30.0
"""Between two looks at what a device draws; over it nobody knows what it drew meanwhile."""

MOST_W = 5_000.0
"""More than any device of a workstation draws: what says so is a counter that is broken, or was set."""


STEP_S = 1.0
"""At the longest, counters go on in steps: of a short time they may tell that of a longer one."""


class Way(StrEnum):
    """How the energy of a device is known."""

    COUNTED = "counted"
    """By a counter of the device's."""

    SAMPLED = "sampled"
    """Added up from what it drew at each look."""


@dataclass(frozen=True, slots=True)
class Counter:
    """Energy since some moment, in joules; falls when the driver is loaded again."""

    joules: float
    wraps_at_j: float | None = None
    """Where it begins anew; None: it does not in a lifetime, so that a fall is a new beginning."""


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """What one device tells at one moment."""

    counters: Mapping[str, Counter] = field(default_factory=dict[str, Counter])
    """Of its parts, by name; none where it has no counter."""

    power_w: float | None = None
    """What it draws; None where it does not tell."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a device used between two looks."""

    joules: float
    way: Way


def decide_spent(before: EnergyReading, now: EnergyReading, took_s: float) -> Spent | None:
    """Say what a device used in between; None where nobody can tell.

    A counter that has fallen and does not wrap tells nothing of this time, only of the next.

    Args:
        took_s: Between the two looks.
    """
    if took_s <= 0:
        return None
    spent = _counted(before, now) if before.counters or now.counters else None
    if spent is None and not now.counters:
        spent = _sampled(before, now, took_s)
    if spent is None or spent.joules > MOST_W * (took_s + STEP_S):
        return None
    return spent


def _counted(before: EnergyReading, now: EnergyReading) -> Spent | None:
    if before.counters.keys() != now.counters.keys():
        return None
    risen = [_risen(before.counters[name], one) for name, one in now.counters.items()]
    known = [joules for joules in risen if joules is not None]
    return Spent(sum(known), Way.COUNTED) if len(known) == len(risen) else None


def _risen(before: Counter, now: Counter) -> float | None:
    risen = now.joules - before.joules
    if risen >= 0:
        return risen
    return None if now.wraps_at_j is None else max(0.0, risen + now.wraps_at_j)


def _sampled(before: EnergyReading, now: EnergyReading, took_s: float) -> Spent | None:
    """Take it that what was drawn changed evenly in between."""
    if before.power_w is None or now.power_w is None or took_s > LONGEST_GAP_S:
        return None
    return Spent((before.power_w + now.power_w) / 2 * took_s, Way.SAMPLED)
