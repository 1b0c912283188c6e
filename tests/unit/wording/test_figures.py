"""Figures as people read them."""

from __future__ import annotations

import pytest

from localllm.units import GIB, KIB, MIB
from localllm.wording.figures import (
    count_of,
    counted,
    duration_of,
    left,
    number_of,
    part_of,
    percent,
    percent_of,
    rate,
    share_of,
    short_duration,
    size_of,
    speed_of,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 MiB"),
        (1, "1 KiB"),
        (40 * KIB, "40 KiB"),
        (MIB, "1 MiB"),
        (98_362_432, "94 MiB"),
        (GIB - MIB, "1023 MiB"),
        (GIB, "1.0 GiB"),
        (25_769_803_776, "24.0 GiB"),
        (1500 * GIB, "1500.0 GiB"),
    ],
)
def test_a_size_is_in_the_largest_unit_that_it_reaches_and_a_dash_if_unknown(
    count: int | None, text: str
) -> None:
    assert size_of(count) == text


def test_what_is_unknown_is_a_dash() -> None:
    unknown = [f(None) for f in (size_of, speed_of, percent, number_of, count_of)]

    assert [*unknown, duration_of(None), left(None), rate(None)] == ["-"] * 8


def test_speeds_are_in_whole_tokens_and_counts_as_they_are_typed_or_read() -> None:
    assert [speed_of(0.0), speed_of(75.6)] == ["0 tok/s", "76 tok/s"]
    assert (number_of(16384), count_of(16384)) == ("16384", "16,384")


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1200, "1,200 files")]
)
def test_one_alone_is_called_otherwise_than_none_or_several(count: int, said: str) -> None:
    assert counted(count, "file") == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (0.42, "0.4 s"), (75, "1 min 15 s"), (3600, "1 h"), (200_000, "2 d 7 h")],
)
def test_seconds_are_said_in_two_units_at_most(seconds: float | None, said: str) -> None:
    assert duration_of(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "short", "guessed"),
    [
        (0.0, "0.0 s", "1 s"),
        (9.51, "9.5 s", "10 s"),
        (59.2, "59.2 s", "1m00s"),
        (3720.0, "1h02m", "1h02m"),
        (400_000.0, "111h06m", "days"),
    ],
)
def test_where_there_is_little_room_a_guess_has_no_tenths_and_an_end(
    seconds: float, short: str, guessed: str
) -> None:
    assert (short_duration(seconds), left(seconds)) == (short, guessed)


@pytest.mark.parametrize(
    ("speed", "said"),
    [(300.0, "0.3 KiB/s"), (40 * KIB, "40.0 KiB/s"), (7 * MIB, "7.0 MiB/s"), (GIB, "1.0 GiB/s")],
)
def test_a_slow_download_is_not_said_to_stand_still(speed: float, said: str) -> None:
    assert rate(speed) == said


@pytest.mark.parametrize(
    ("here", "whole", "percents", "said"),
    [
        (0, 0, "100%", "0 MiB"),
        (GIB, 4 * GIB, "25%", "1.0/4.0 GiB"),
        (4 * GIB - 1, 4 * GIB, "99%", "4.0/4.0 GiB"),
        (4 * GIB, 4 * GIB, "100%", "4.0 GiB"),
        (30, 100, "30%", "0.0/0.1 KiB"),
    ],
)
def test_all_is_here_only_when_nothing_lacks(
    here: int, whole: int, percents: str, said: str
) -> None:
    assert (percent_of(here, whole), part_of(here, whole, "/")) == (percents, said)


def test_more_than_all_is_all() -> None:
    assert share_of(5, 4) == 1.0
