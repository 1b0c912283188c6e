"""What mlx's slots hold, and which of the kept prompts goes first."""

from __future__ import annotations

import pytest

from localllm.engines.workers.mlx.slots import Slots

ASKED, ANSWERED = [1, 2, 3], [1, 2, 3, 4, 5]


def test_a_slot_holds_what_its_last_request_has_left() -> None:
    slots = Slots(2)
    slots.begin(1, ASKED)

    slots.note([9, 9, 9, 9])
    slots.note(ANSWERED)

    assert (slots.held(0), slots.held(1)) == ((), ANSWERED)


def test_of_an_answer_that_was_broken_off_it_holds_what_was_read() -> None:
    slots = Slots(1)
    slots.begin(0, ASKED)

    slots.note([1])
    slots.note([1, 2])
    slots.note([1])

    assert slots.held(0) == [1, 2]


def test_what_ended_belongs_to_the_request_that_went_furthest_that_way() -> None:
    slots = Slots(2)
    slots.begin(0, [1, 2, 3, 4])
    slots.begin(1, ASKED)

    slots.note(ANSWERED)
    slots.note([1, 2, 3, 7])

    assert (slots.held(0), slots.held(1)) == (ANSWERED, [1, 2, 3, 7])


def test_a_request_that_is_asked_again_is_told_from_the_one_that_was_broken_off() -> None:
    slots = Slots(2)
    slots.begin(0, ASKED)
    slots.begin(1, ASKED)

    slots.note(ANSWERED)

    assert (slots.held(0), slots.held(1)) == ((), ANSWERED)


def test_a_slot_where_something_begins_does_not_hold_the_old_any_more() -> None:
    slots = Slots(1)
    slots.put(0, ANSWERED)

    slots.begin(0, [7])

    assert slots.held(0) == ()


@pytest.mark.parametrize("number", [None, -1, 1])
def test_a_request_without_a_slot_of_ours_is_not_noted(number: int | None) -> None:
    slots = Slots(1)
    slots.put(0, [7])

    slots.begin(number, ASKED)
    slots.note(ANSWERED)

    assert slots.held(0) == [7]
