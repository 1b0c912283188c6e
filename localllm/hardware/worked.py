"""How busy the processors are: what the system counts of their time, compared between looks."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

LEAST_WORKED_S = 0.1
"""Of all processors together: systems count in hundredths, so of less the share says nothing."""


@dataclass(frozen=True, slots=True)
class Worked:
    """What all processors did since the computer was started, in seconds."""

    busy_s: float
    whole_s: float


def read_worked() -> Worked:
    """Add up what the system counts of all processors; what guests did is in the user's time too."""
    times = psutil.cpu_times()
    told = times._asdict()
    waiting = told["idle"] + told.get("iowait", 0.0)
    whole = sum(times) - told.get("guest", 0.0) - told.get("guest_nice", 0.0)
    return Worked(whole - waiting, whole)


def decide_utilization(before: Worked | None, now: Worked) -> float | None:
    """Tell how busy processors were in between."""
    if before is None or now.whole_s - before.whole_s < LEAST_WORKED_S:
        return None
    share = (now.busy_s - before.busy_s) / (now.whole_s - before.whole_s)
    return min(1.0, max(0.0, share))
