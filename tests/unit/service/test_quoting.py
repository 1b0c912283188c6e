"""What is written into a unit comes out of it as it was."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from localllm.service.quoting import CannotBeWritten, command_line, quoted
from tests.fakes.systemd_words import command_of, specified, words_of

WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n\t"))
NASTY = "a b%h$HOME${X}\"'\\ \\x41;é\t\n"


@given(st.lists(WORDS.filter(bool), min_size=1))
@example([NASTY, "%", "%%", "$$", "\\", '"', "'", " ", ";", "#", "\\n"])
def test_words_are_as_they_were_whatever_is_in_them(words: list[str]) -> None:
    line = " ".join(map(quoted, words))

    assert "\n" not in line, "a line stays a line"
    assert [specified(word) for word in words_of(line)] == words


@given(st.lists(WORDS.filter(bool)), WORDS)
@example([NASTY], NASTY)
def test_a_command_runs_the_program_that_was_meant_with_the_arguments_that_were_meant(
    arguments: list[str], name: str
) -> None:
    path = f"/opt/{name}"

    program, rest = command_of(command_line(path, *arguments))

    through_a_shell = (program, rest) == ("/bin/sh", ["-c", 'exec "$0" "$@"', path, *arguments])
    assert through_a_shell or (program, rest) == (path, arguments)


def test_a_shell_is_in_between_only_where_systemd_does_not_take_the_path() -> None:
    assert command_line("/opt/a b%c$d/python", "-m") == ':"/opt/a b%%c$d/python" "-m"'
    assert command_line("/opt/it's/python").startswith(':"/bin/sh" "-c" ')


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "\x7f", "a\udcffb"])
def test_what_no_unit_can_hold_is_refused(text: str) -> None:
    with pytest.raises(CannotBeWritten):
        quoted(text)
