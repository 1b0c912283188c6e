"""How long things last, as people write it and as they read it."""

from __future__ import annotations

import math

import pytest

from localllm.units import duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("1d", 86400),
        ("0", 0),
        ("007m", 420),
        ("999999999d", 999999999 * 86400),
        ("forever", math.inf),
    ],
)
def test_a_duration_is_a_number_with_a_unit_or_forever(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "m", "-1", "1.5h", "1h30m", "15 m", " 15m", "15m\n", "2H", "5w", "1e3", "inf", "nan"),
        *("Forever", "\u0661m", "9" * 10, "9" * 5000),
    ],
)
def test_anything_else_is_an_error_that_names_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"90 or 90s.*15m.*2h.*1d.*forever") as refused:
        parse_duration(text)

    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (5400, "1 h 30 min"),
        (86400, "1 d"),
        (90000, "1 d 1 h"),
        (8640000, "100 d"),
        (math.inf, "forever"),
    ],
)
def test_a_duration_reads_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
