"""Lines of logs: bounded, laid out in rows, and searched. No screen."""

from __future__ import annotations

from localllm.tui.inbox import Inbox
from localllm.tui.log_lines import Kept, Search
from localllm.tui.log_rows import pieces, rows_of


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
