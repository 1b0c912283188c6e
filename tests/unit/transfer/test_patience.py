"""How long to wait before asking again, and when it is of no use any more."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import takewhile

import pytest

from localllm.transfer.failures import TryAgain
from localllm.transfer.patience import Patience, retry_after_s

NOW = datetime(2026, 12, 1, 12, 0, 0, tzinfo=UTC)


def pauses(patience: Patience, again: TryAgain) -> list[float]:
    asked = (patience.pause_s(again) for _ in range(1000))
    return [pause for pause in takewhile(lambda pause: pause is not None, asked) if pause]


def test_pauses_grow_up_to_half_a_minute_and_no_two_are_quite_the_same() -> None:
    patience = Patience(random.Random(1))
    patience.came()

    found = pauses(patience, TryAgain("lost"))

    assert found[:8] == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30], rel=0.25)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(("has_come", "most_s"), [(False, 60), (True, 600)])
def test_it_is_given_up_after_a_minute_or_after_ten_if_something_had_come(
    has_come: bool, most_s: float
) -> None:
    patience = Patience(random.Random(2))
    if has_come:
        patience.came()

    assert most_s - 38 < sum(pauses(patience, TryAgain("lost"))) <= most_s


def test_without_a_server_it_is_of_no_use_to_wait() -> None:
    assert Patience().pause_s(TryAgain("nobody there", answered=False)) is None


def test_one_that_had_answered_is_waited_for_when_it_is_gone() -> None:
    patience = Patience()
    patience.pause_s(TryAgain("busy"))

    assert patience.pause_s(TryAgain("nobody there", answered=False)) is not None


def test_bytes_that_come_make_all_well_again() -> None:
    patience = Patience(random.Random(3))
    pauses(patience, TryAgain("lost"))
    patience.came()

    assert patience.pause_s(TryAgain("lost")) == pytest.approx(0.5, rel=0.25)


def test_the_server_is_not_asked_before_it_says() -> None:
    assert Patience().pause_s(TryAgain("busy", after_s=20.0)) == 20.0


@pytest.mark.parametrize(("after_s", "times"), [(120.0, 5), (600.0, 1), (601.0, 0)])
def test_a_server_that_says_when_is_waited_for_up_to_ten_minutes(
    after_s: float, times: int
) -> None:
    assert pauses(Patience(), TryAgain("busy", after_s=after_s)) == [after_s] * times


def test_what_a_server_asked_for_does_not_count_as_a_line_that_is_down() -> None:
    patience = Patience()
    patience.pause_s(TryAgain("busy", after_s=300.0))

    assert patience.pause_s(TryAgain("lost")) is not None


@pytest.mark.parametrize(
    ("text", "after_s"),
    [
        (None, None),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("9" * 400, float("inf")),
        ("-1", None),
        ("²", None),
        ("soon", None),
        ("", None),
        ("Tue, 01 Dec 2026 12:01:30 GMT", 90.0),
        ("Tue, 01 Dec 2026 11:00:00 GMT", 0.0),
        ("Tue, 01 Dec 2026 12:01:30 -0000", 90.0),
        ("Tue, 01 Dec 2026 12:01:30 +99999999999999", None),
        ("Tue, 01 Dec 99999 12:01:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, after_s: float | None) -> None:
    assert retry_after_s(text, NOW) == after_s
