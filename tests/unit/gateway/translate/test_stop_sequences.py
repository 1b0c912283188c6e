"""Stop sequences in a text that comes in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.gateway.translate.stop_sequences import StopScan


def scanned(pieces: list[str], *stops: str) -> tuple[str, str | None]:
    scan, said = StopScan(stops), ""
    for piece in pieces:
        said += scan.feed(piece)
        if scan.met is not None:
            return said, scan.met
    return said + scan.rest(), None


@pytest.mark.parametrize(
    ("pieces", "stops", "said", "met"),
    [
        (["all of it"], (), "all of it", None),
        (["a\n\n", "Human: b"], ("\n\nHuman:",), "a", "\n\nHuman:"),
        (["aab"], ("ab",), "a", "ab"),
        (["a", "a", "b"], ("ab",), "a", "ab"),
        (["xabc"], ("b", "abc"), "xa", "b"),
        (["xabc"], ("bc", "abc"), "x", "abc"),
        (["one two"], ("two", "one"), "", "one"),
        (["EN"], ("END",), "EN", None),
    ],
)
def test_the_sequence_that_is_complete_first_cuts_the_text(
    pieces: list[str], stops: tuple[str, ...], said: str, met: str | None
) -> None:
    assert scanned(pieces, *stops) == (said, met)


def test_only_what_may_become_a_sequence_is_kept_back() -> None:
    scan = StopScan(["END"])

    assert [scan.feed(piece) for piece in ["abc", "dE", "x", "EN", "E"]] == [
        "abc",
        "d",
        "Ex",
        "",
        "EN",
    ]


@given(
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=12),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_how_the_text_is_cut_makes_no_difference(pieces: list[str], stops: list[str]) -> None:
    assert scanned(pieces, *stops) == scanned(list("".join(pieces)), *stops)
