"""How words are written into a systemd unit, so that they come out as they were. Pure.

Source: systemd.syntax(7) and systemd.service(5), "Command lines"; src/basic/extract-word.c and
src/core/load-fragment.c. Tried against a real service manager in test_service.py.
"""

from __future__ import annotations

import re

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_NO_PROGRAM = re.compile(r"[\x00-\x1f\x7f'\"\\]")
"""What systemd does not take in the path of a program, quoted or not."""

_SHELL = ("/bin/sh", "-c", 'exec "$0" "$@"')


class CannotBeWritten(ValueError):
    """No way of quoting brings it through."""


def quoted(text: str) -> str:
    """Write one word, whole: neither blanks, quotes nor percent signs mean anything in it.

    Raises:
        CannotBeWritten: It is not Unicode, or has a control character that systemd refuses.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CannotBeWritten("it is not UTF-8") from error
    if _CONTROL.search(text):
        raise CannotBeWritten("it has a control character")
    escaped = "".join(_ESCAPES.get(letter, letter) for letter in text)
    return '"' + escaped.replace("%", "%%") + '"'


def command_line(program: str, *arguments: str) -> str:
    """Write a command whose words are what they are: no variable is put into them.

    The colon says so to systemd. A path with quotes or a backslash is no program to it, so a shell
    is put before such a one, and becomes it.

    Raises:
        CannotBeWritten: One of the words cannot be.
    """
    words = (program, *arguments)
    if _NO_PROGRAM.search(program):
        words = (*_SHELL, *words)
    return ":" + " ".join(quoted(word) for word in words)
