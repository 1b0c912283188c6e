"""Lines of logs: harmless, bounded, laid out in rows, and searched. No screen."""

from __future__ import annotations

import pytest

from localllm.api.event_views import EventView
from localllm.tui.inbox import Inbox
from localllm.tui.log_lines import Cutter, Kept, Search, harmless, line_of
from localllm.tui.log_rows import pieces, rows_of


def test_pieces_that_end_within_a_line_or_a_letter_become_whole_lines() -> None:
    cutter, whole = Cutter(), "größe 1\nzwei\n".encode()

    lines = [line for at in range(len(whole)) for line in cutter.lines(whole[at : at + 1])]

    assert lines == ["größe 1", "zwei"]
    assert Cutter().lines(b"no end") == []


def test_a_line_without_an_end_does_not_grow_for_ever() -> None:
    cutter = Cutter()

    [line] = cutter.lines(b"x" * 10_000)

    assert len(line) < 2_100
    assert cutter.end() == []


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain words", "plain words"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\tb", "a       b"),
        ("bell\x07 null\x00 del\x7f c1\x9b", "bell? null? del? c1?"),
        ("turned \u202eround", "turned ?round"),
        ("  5%\r 50%\r100%\r", "100%"),
        ("\x1b", "?"),
        ("[red]markup[/red]", "[red]markup[/red]"),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(written: str, shown: str) -> None:
    assert harmless(written) == shown


def test_an_event_is_one_harmless_line() -> None:
    event = EventView(
        seq=1, at=0.0, topic="state", why="it\nsays \x1b[2Jso", model="m", old="ready", new="failed"
    )

    line = line_of(event)

    assert "ready -> failed" in line
    assert line.endswith("it?says so")


def test_a_flood_leaves_out_the_oldest_and_says_how_many() -> None:
    inbox = Inbox(most=10)

    inbox.put([str(n) for n in range(25)])
    first, *rest = inbox.take()

    assert "15 lines were left out" in first
    assert rest == [str(n) for n in range(15, 25)]
    assert inbox.take() == []


def test_only_the_newest_lines_are_kept_and_each_keeps_its_number() -> None:
    kept = Kept(most=3)

    assert kept.add(["a", "b"]) == 0
    assert kept.add(["c", "d", "e"]) == 2

    assert (kept.lines, kept.gone, kept.end, kept[3]) == (["c", "d", "e"], 2, 5, "d")


def test_hits_are_found_in_what_comes_and_forgotten_with_what_goes() -> None:
    kept, search = Kept(most=3), Search()
    kept.add(["an ERROR", "fine"])
    search.begin("error", kept)
    assert search.hits == [0]

    kept.add(["error again", "fine"])
    search.look(kept, 2)

    assert search.hits == [2]


def test_the_next_hit_is_the_one_below_and_after_the_last_comes_the_first() -> None:
    kept, search = Kept(), Search()
    kept.add(["x", "-", "x", "-", "x"])
    search.begin("x", kept)

    assert [search.go(1, near=1) for _ in range(4)] == [2, 4, 0, 2]
    assert search.go(-1, near=0) == 0
    search.begin("nowhere", kept)
    assert search.go(1, near=0) is None


def test_a_search_says_where_in_a_line_each_place_is() -> None:
    search = Search("a.b")

    assert search.spans("A.b and a.B, not axb") == [(0, 3), (8, 11)]


def test_wrapped_lines_have_as_many_rows_as_they_need() -> None:
    lines = ["short", "x" * 25, "", "漢字漢字漢字"]

    rows = rows_of(lines, 10)

    assert [rows.find(row) for row in range(len(rows))] == [
        (0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (3, 0), (3, 1),
    ]  # fmt: skip
    assert pieces(lines[3], 10) == ["漢字漢字漢", "字"]


def test_rows_of_lines_that_are_gone_are_counted_and_the_rest_moves_up() -> None:
    rows = rows_of(["x" * 25, "y", "z" * 11], 10)

    assert rows.drop(1) == 3

    assert (len(rows), rows.find(0), rows.find(2), rows.row_of(1)) == (3, (0, 0), (1, 1), 1)
    assert rows.drop(2) == 3
    rows.add(["new"])
    assert (len(rows), rows.find(0)) == (1, (0, 0))
