"""What an engine wrote, in harmless lines."""

from __future__ import annotations

import pytest

from localllm.wording.engine_log import Cutter, harmless


def test_pieces_that_end_within_a_line_or_a_letter_become_whole_lines() -> None:
    cutter, whole = Cutter(), "größe 1\nzwei\n".encode()

    lines = [line for at in range(len(whole)) for line in cutter.lines(whole[at : at + 1])]

    assert lines == ["größe 1", "zwei"]
    assert Cutter().lines(b"no end") == []


def test_what_an_engine_wrote_last_is_shown_though_its_line_has_no_end() -> None:
    cutter = Cutter()
    cutter.lines(b"first\nlast\x1b[0m")

    assert (cutter.end(), cutter.end()) == (["last"], [])


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
