"""Whether the computer slept between two looks: a deadline that passed meanwhile is no fault.

Compares a clock that goes on in sleep with one that stops. Never reads the wall clock, so
setting it is no sleep.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

if sys.platform == "darwin":
    # Not CLOCK_MONOTONIC: macOS computes it from the wall clock (Libc, gen/clock_gettime.c).
    GOES_ON_IN_SLEEP, STOPS_IN_SLEEP = time.CLOCK_MONOTONIC_RAW, time.CLOCK_UPTIME_RAW
else:
    GOES_ON_IN_SLEEP, STOPS_IN_SLEEP = time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC

TRIES = 3
SLEPT_AT_LEAST_S = 1.0
"""Less is how far apart the two clocks were read, or a sleep that no deadline notices."""


def read_awake_gap(clock: Callable[[int], float] = time.clock_gettime) -> float:
    """Read how long the computer has slept since it started, in seconds.

    `clock` takes the number of a clock and tells its seconds. Of a few tries the quickest
    counts: whoever is stopped between two reads would take the pause for sleep.
    """
    return min(_read_once(clock) for _ in range(TRIES))[1]


def slept_s(before: float, now: float) -> float:
    """Tell how long the computer slept between two gaps of `read_awake_gap`; 0 if it did not."""
    slept = now - before
    return slept if slept >= SLEPT_AT_LEAST_S else 0.0


def _read_once(clock: Callable[[int], float]) -> tuple[float, float]:
    """Read how long the reading took, and the gap."""
    began = clock(STOPS_IN_SLEEP)
    with_sleep = clock(GOES_ON_IN_SLEEP)
    ended = clock(STOPS_IN_SLEEP)
    return ended - began, with_sleep - ended
