"""Text of others made harmless."""

from __future__ import annotations

import subprocess
import sys

import pytest

from localllm.wording.plain import plain, plain_line, plain_lines, plain_piece, plain_text

NO_BREAK, EM, WIDE = "\u00a0", "\u2003", "\u3000"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is: é 模型 [b]", "as it is: é 模型 [b]"),
        (f"a{NO_BREAK}b{EM}c{WIDE}d", "a b c d"),
        ("\x1b[31m\x9b2J\u202e\t\n\u2028", "?[31m?2J????"),
    ],
)
def test_blanks_of_any_width_are_spaces_and_what_a_terminal_obeys_is_marked(
    text: str, shown: str
) -> None:
    assert plain(text) == shown


def test_lines_stay_lines_and_a_tab_is_blanks() -> None:
    assert plain_lines("a\x1b\r\n\tb\u2028c") == ["a?", "    b", "c"]
    assert plain_line("what\nwhy\x07") == "what why?"
    assert plain_text("a\r\n\n\tb\x1b\n") == "a\n\n    b?\n"


@pytest.mark.parametrize("pieces", [["a\r\n\tb\x1b[2Jc"], ["a\r", "\n\t", "b\x1b", "[2Jc"]])
def test_what_comes_in_pieces_keeps_its_line_ends_and_tabs_however_it_is_cut(
    pieces: list[str],
) -> None:
    assert "".join(map(plain_piece, pieces)) == "a\n\tb?[2Jc"


def test_an_error_can_be_shown_without_loading_more_than_this() -> None:
    code = "import sys, localllm.wording.plain; print(*(m for m in sys.modules if 'msgspec' in m))"

    assert not subprocess.check_output([sys.executable, "-c", code]).strip()
