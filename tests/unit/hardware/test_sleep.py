"""Sleep, told from two clocks."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from localllm.hardware.sleep import (
    GOES_ON_IN_SLEEP,
    SLEPT_AT_LEAST_S,
    STOPS_IN_SLEEP,
    read_awake_gap,
    slept_s,
)


@dataclass
class Clocks:
    """A computer's clocks; every read takes a microsecond, and may be followed by a pause."""

    awake_s: float = 100.0
    asleep_s: float = 7.0
    pauses_s: list[float] = field(default_factory=list)
    read: list[int] = field(default_factory=list)

    def __call__(self, clock: int) -> float:
        self.read.append(clock)
        told = self.awake_s + (self.asleep_s if clock == GOES_ON_IN_SLEEP else 0.0)
        self.awake_s += 1e-6 + (self.pauses_s.pop(0) if self.pauses_s else 0.0)
        return told


def test_a_computer_that_is_awake_has_not_slept() -> None:
    before = read_awake_gap()

    assert slept_s(before, read_awake_gap()) == 0.0


def test_what_was_slept_between_two_looks_is_told() -> None:
    clocks = Clocks()
    before = read_awake_gap(clocks)
    clocks.awake_s += 5.0
    clocks.asleep_s += 3600.0

    assert slept_s(before, read_awake_gap(clocks)) == pytest.approx(3600.0)


def test_time_awake_is_not_sleep_however_long_it_was() -> None:
    clocks = Clocks()
    before = read_awake_gap(clocks)
    clocks.awake_s += 86_400.0

    assert slept_s(before, read_awake_gap(clocks)) == 0.0


@pytest.mark.parametrize("pauses_s", [[30.0], [0.0, 30.0], [0.0, 0.0, 30.0], [30.0] * 6])
def test_a_program_that_was_stopped_while_it_read_has_not_slept(pauses_s: list[float]) -> None:
    stopped, going_on = Clocks(pauses_s=[*pauses_s]), Clocks()

    gap = read_awake_gap(stopped)

    assert slept_s(gap, read_awake_gap(going_on)) == slept_s(read_awake_gap(going_on), gap) == 0.0


def test_the_wall_clock_is_not_read_so_setting_it_is_no_sleep() -> None:
    clocks = Clocks()

    read_awake_gap(clocks)

    assert set(clocks.read) == {GOES_ON_IN_SLEEP, STOPS_IN_SLEEP}
    assert time.CLOCK_REALTIME not in clocks.read


@pytest.mark.parametrize(
    ("now", "slept"),
    [
        (7.0, 0.0),
        (7.0 + SLEPT_AT_LEAST_S / 2, 0.0),
        (7.0 + SLEPT_AT_LEAST_S, SLEPT_AT_LEAST_S),
        (67.0, 60.0),
        (6.9, 0.0),
    ],
)
def test_a_gap_below_the_threshold_is_jitter(now: float, slept: float) -> None:
    assert slept_s(7.0, now) == slept
