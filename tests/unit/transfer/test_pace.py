"""A limit that all connections share, and that may change at any time; on a clock that tests turn."""

from __future__ import annotations

import anyio
import pytest

from localllm.transfer.pace import Pace

pytestmark = pytest.mark.anyio
MIB = 1 << 20


class Clock:
    """Goes on only where somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.at: dict[float, list[float]] = {}
        monkeypatch.setattr(anyio, "current_time", lambda: self.now)
        monkeypatch.setattr(anyio, "sleep", self.sleep)

    async def sleep(self, delay: float) -> None:
        self.now += delay


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def test_without_a_limit_nobody_waits(clock: Clock) -> None:
    for _ in range(100):
        await Pace().took(MIB)

    assert clock.now == 1000.0


@pytest.mark.parametrize("count", [1, 1000, 65_536, MIB])
async def test_the_rate_is_exact_over_some_seconds(clock: Clock, count: int) -> None:
    pace, taken = Pace(MIB), 0

    while taken < 10 * MIB // (100 if count == 1 else 1):
        await pace.took(count)
        taken += count

    assert taken / (clock.now - 1000.0) == pytest.approx(MIB, rel=0.01)


async def test_time_without_bytes_is_saved_up_for_a_moment_only(clock: Clock) -> None:
    pace = Pace(MIB)
    await pace.took(1)
    clock.now += 100.0
    began = clock.now

    await pace.took(2 * MIB)

    assert clock.now - began == pytest.approx(1.75, abs=0.01)


@pytest.mark.parametrize("rate", [None, 1e12])
async def test_a_change_counts_at_once_for_those_who_wait(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, rate: float | None
) -> None:
    pace = Pace(1000)

    async def sleep(delay: float) -> None:
        clock.now += delay
        pace.bytes_per_s = rate

    monkeypatch.setattr(anyio, "sleep", sleep)

    await pace.took(MIB)

    assert clock.now - 1000.0 < 1.0


async def test_a_limit_that_is_set_again_begins_with_no_debt(clock: Clock) -> None:
    pace = Pace(1000)
    await pace.took(1000)
    pace.bytes_per_s = None
    await pace.took(1 << 30)
    pace.bytes_per_s = 1000
    began = clock.now

    await pace.took(1000)

    assert clock.now - began == pytest.approx(1.0)


async def test_a_limit_of_nothing_is_slow_and_no_error(clock: Clock) -> None:
    await Pace(0.0).took(3)

    assert clock.now - 1000.0 == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("rate", "worth"), [(None, 6), (1.0, 1), (600 << 10, 2), (1 << 20, 4), (1e9, 6)]
)
def test_a_slow_rate_is_not_worth_many_connections(rate: float | None, worth: int) -> None:
    assert Pace(rate).connections(6) == worth
