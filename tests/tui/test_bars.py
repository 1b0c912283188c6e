"""Bars and sparklines as text."""

from __future__ import annotations

import pytest

from localllm.tui.widgets.bar import CACHE, FREE, OTHERS, WEIGHTS, Piece, render_bar, render_legend
from localllm.tui.widgets.models import render_cache
from localllm.tui.widgets.spark import spark


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ((), 3, "   "),
        ((0.0, 0.0), 3, " ▁▁"),
        ((0.0, 1.0, 2.0, 4.0), 6, "  ▁▃▅█"),
        ((9.0, 1.0, 2.0), 2, "▅█"),  # what is older has gone
        ((0.001, 100.0), 2, "▂█"),  # something is not nothing
        ((1.0,), 0, ""),
    ],
)
def test_a_sparkline_is_as_wide_as_asked_and_ends_with_the_newest(values, width, drawn) -> None:
    assert spark(values, width) == drawn


def test_a_bar_shares_its_columns_out_and_marks_where_an_owner_begins() -> None:
    pieces = [Piece(WEIGHTS, 50, "1"), Piece(CACHE, 25), Piece(FREE, 25)]

    assert render_bar(pieces, 12).plain == "1█████▓▓▓···"


def test_what_is_small_has_a_column_and_what_is_nothing_has_none() -> None:
    pieces = [Piece(WEIGHTS, 1, "1"), Piece(CACHE, 0), Piece(OTHERS, 1), Piece(FREE, 10_000)]

    assert render_bar(pieces, 10).plain == "1◆········"


@pytest.mark.parametrize("width", range(13))
def test_a_bar_is_as_wide_as_asked(width: int) -> None:
    pieces = [Piece(WEIGHTS, 70, "1"), Piece(CACHE, 20), Piece(OTHERS, 7), Piece(FREE, 3)]

    assert len(render_bar(pieces, width).plain) == width


def test_a_bar_of_nothing_is_nothing() -> None:
    assert render_bar([Piece(FREE, 0)], 10).plain == ""


def test_no_two_pieces_are_the_same_character() -> None:
    words = render_legend().plain.split("  ")
    glyphs = [word[0] for word in words]

    assert len(glyphs) == len(set(glyphs)) == 6


@pytest.mark.parametrize(
    ("used", "drawn"),
    [
        (None, "KV -"),
        (0.0, "KV ·······|· 0%/85%"),
        (0.58, "KV ▓▓▓▓▓··|· 58%/85%"),
        (0.91, "KV ▓▓▓▓▓▓▓|· 91%/85%!"),
        (1.0, "KV ▓▓▓▓▓▓▓|▓ 100%/85%!"),
    ],
)
def test_a_cache_has_a_line_and_a_sign_above_it(used: float | None, drawn: str) -> None:
    text = render_cache(used, 0.85, 8).plain

    assert text.rstrip() == drawn
    assert len(text) in {21, 22}
