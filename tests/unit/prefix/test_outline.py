"""Outlines agree as far as prompts do, and tell nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.prefix.outline import BLOCK_BYTES, MARK_BYTES, Outline, outline_of
from tests.unit.prefix.a_prompt import KEY

MOST = 6 * BLOCK_BYTES


def blocks_in_common(one: bytes, other: bytes) -> int:
    """The same, found by looking at the texts."""
    agree = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    return whole(agree)


def whole(size: int) -> int:
    """How much of so many bytes has marks: whole blocks, and whole quarters of the first."""
    quarter = BLOCK_BYTES // 4
    return size // quarter * quarter if size < BLOCK_BYTES else size // BLOCK_BYTES * BLOCK_BYTES


@given(
    start=st.integers(0, MOST), ends=st.tuples(st.integers(0, MOST), st.integers(0, MOST)), same=...
)
def test_outlines_agree_exactly_as_far_as_texts_do_in_whole_blocks(
    start: int, ends: tuple[int, int], same: bool
) -> None:
    one = b"s" * start + b"a" * ends[0]
    other = b"s" * start + (b"a" if same else b"b") * ends[1]

    common = outline_of([one], KEY).common_bytes(outline_of([other], KEY))

    assert common == blocks_in_common(one, other)


@given(at=st.integers(0, MOST - 1))
def test_one_byte_that_differs_ends_what_two_have_in_common(at: int) -> None:
    text = bytes(MOST)
    other = text[:at] + b"x" + text[at + 1 :]

    common = outline_of([text], KEY).common_bytes(outline_of([other], KEY))

    assert common == whole(at)


@given(one=st.binary(max_size=MOST), other=st.binary(max_size=MOST))
def test_who_is_asked_first_makes_no_difference(one: bytes, other: bytes) -> None:
    a, b = outline_of([one], KEY), outline_of([other], KEY)

    assert a.common_bytes(b) == b.common_bytes(a)
    assert a.common_bytes(a) == whole(len(one))


@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=8), more=st.binary(max_size=99))
def test_a_conversation_that_goes_on_has_all_whole_blocks_of_its_beginning(
    parts: list[bytes], more: bytes
) -> None:
    before, after = outline_of(parts, KEY), outline_of([*parts, more], KEY)

    assert before.common_bytes(after) == whole(before.size_bytes)
    assert after.marks.startswith(before.marks)
    assert after.size_bytes == before.size_bytes + 1 + len(more)


@pytest.mark.parametrize(
    ("size", "marks"),
    [(0, 0), (31, 0), (32, 1), (127, 3), (128, 4), (129, 4), (255, 4), (256, 5), (257, 5)],
)
def test_a_block_has_a_mark_when_it_is_whole_and_the_first_one_by_quarters(
    size: int, marks: int
) -> None:
    assert outline_of([bytes(size)], KEY) == Outline(
        outline_of([bytes(MOST)], KEY).marks[: marks * MARK_BYTES], size
    )


def test_of_no_text_there_is_nothing_in_common() -> None:
    nothing = outline_of([], KEY)

    assert nothing == Outline(b"", 0)
    assert nothing.common_bytes(outline_of([bytes(MOST)], KEY)) == 0


def test_another_installation_marks_the_same_prompt_otherwise() -> None:
    text = b"my diary " * 200

    ours, theirs = outline_of([text], KEY), outline_of([text], b"x" * 32)

    assert ours.common_bytes(theirs) == 0


def test_blocks_that_are_alike_have_marks_of_their_own() -> None:
    marks = outline_of([bytes(MOST)], KEY).marks

    each = {marks[i : i + MARK_BYTES] for i in range(0, len(marks), MARK_BYTES)}
    assert len(each) == MOST // BLOCK_BYTES + 3
