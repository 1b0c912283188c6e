"""Ranges of bytes, compared with plain sets of them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from localllm.transfer.ranges import Ranges

SIZE = 40
SOME = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)), max_size=12)


def having(*added: tuple[int, int]) -> Ranges:
    ranges = Ranges()
    for start, end in added:
        ranges.add(start, end)
    return ranges


@given(SOME)
def test_they_hold_what_was_added_in_any_order(added: list[tuple[int, int]]) -> None:
    ranges = having(*added)

    held = {i for start, end in added for i in range(start, end)}
    assert {i for start, end in ranges for i in range(start, end)} == held
    assert ranges.total == len(held)
    assert ranges.frontier == next(i for i in range(SIZE + 1) if i not in held)


@given(SOME)
def test_they_neither_overlap_nor_touch_nor_are_empty(added: list[tuple[int, int]]) -> None:
    found = list(having(*added))

    assert all(start < end for start, end in found)
    assert all(before[1] < after[0] for before, after in pairwise(found))


@given(SOME, st.integers(0, SIZE), st.integers(0, SIZE))
def test_what_is_lacking_is_all_the_rest(
    added: list[tuple[int, int]], start: int, end: int
) -> None:
    lacking = having(*added).lacking(start, end)

    held = {i for one, other in added for i in range(one, other)}
    assert {i for one, other in lacking for i in range(one, other)} == {
        i for i in range(start, end) if i not in held
    }
    assert all(before[1] < after[0] for before, after in pairwise(lacking))
