"""Charts fit a terminal, say which line is which, and mark the point that matters."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.wording import charts, cost_figures
from localllm.wording.charts import (
    Frame,
    Line,
    Mark,
    axis,
    bar,
    can_draw,
    line_chart,
    under_axis,
)

FRAME = Frame(width=21, height=5, x_most=10.0)


def test_lines_cross_where_they_do() -> None:
    rows = line_chart([Line("a", 0.0, 1.0), Line("o", 5.0, 0.0)], [Mark("X", 5.0, 5.0)], FRAME)

    assert rows == [
        "                  aaa",
        "             aaaaa",
        "ooooooooooXoooooooooo",
        "   aaaaa",
        "aaa",
    ]


def test_a_mark_outside_is_left_out() -> None:
    rows = line_chart([Line("o", 5.0, 0.0)], [Mark("X", 11.0, 5.0)], FRAME)

    assert "X" not in "".join(rows)


@given(
    lines=st.lists(
        st.builds(Line, st.just("a"), st.floats(0, 1e6), st.floats(0, 1e3)), min_size=1, max_size=4
    ),
    width=st.integers(2, 100),
    height=st.integers(2, 40),
    x_most=st.floats(1, 1e12),
)
def test_a_chart_never_takes_more_room_than_it_has(
    lines: list[Line], width: int, height: int, x_most: float
) -> None:
    rows = line_chart(lines, [Mark("X", x_most / 2, 1.0)], Frame(width, height, x_most))

    assert len(rows) == height
    assert max(map(len, rows)) <= width


@given(value=st.floats(0, 1e9), most=st.floats(0, 1e9), blocks=st.booleans())
def test_a_bar_is_there_if_anything_is_and_never_too_long(
    value: float, most: float, *, blocks: bool
) -> None:
    drawn = bar(min(value, most), most, 30, blocks=blocks)

    assert (drawn == "") == (min(value, most) <= 0)
    assert len(drawn) <= 30


@given(sizes=st.lists(st.floats(0.1, 100), min_size=2, max_size=2))
def test_a_larger_value_has_no_shorter_bar(sizes: list[float]) -> None:
    small, large = sorted(sizes)

    assert len(bar(small, 100, 40, blocks=False)) <= len(bar(large, 100, 40, blocks=False))


def test_labels_stand_under_their_ticks() -> None:
    assert axis(17, blocks=False) == "+---+---+---+---+"
    assert under_axis(["0", "1", "22", "3", "4"], 17) == "0   1  22   3   4"


@pytest.mark.parametrize(
    ("encoding", "can"), [("utf-8", True), ("ascii", False), ("latin-1", False), ("no", False)]
)
def test_blocks_are_drawn_where_they_exist(encoding: str, *, can: bool) -> None:
    assert can_draw(encoding) is can


@pytest.mark.parametrize("module", [charts, cost_figures])
def test_the_examples_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
