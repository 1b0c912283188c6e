"""Reads units as systemd does: an independent reading of its rules, against which our writing is tried.

Source: systemd.syntax(7), systemd.service(5), and src/basic/extract-word.c with the flags
EXTRACT_UNQUOTE and EXTRACT_CUNESCAPE, src/core/load-fragment.c, src/basic/env-util.c.
"""

from __future__ import annotations

_LETTERS = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "s": " ",
    "\\": "\\",
    '"': '"',
    "'": "'",
}


def words_of(line: str) -> list[str]:
    """Cut a line into words, and take the quotes and escapes away.

    Raises:
        ValueError: A quote is not closed, or an escape is none.
    """
    words: list[str] = []
    word: str | None = None
    quote, place = "", 0
    while place < len(line):
        letter = line[place]
        place += 1
        if letter == "\\":
            if line[place] not in _LETTERS:
                raise ValueError(f"no such escape: \\{line[place]}")
            word = (word or "") + _LETTERS[line[place]]
            place += 1
        elif quote:
            if letter == quote:
                quote = ""
            else:
                word = (word or "") + letter
        elif letter in "\"'":
            quote, word = letter, word or ""
        elif letter in " \t":
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + letter
    if quote:
        raise ValueError("a quote is not closed")
    return words if word is None else [*words, word]


def specified(word: str) -> str:
    """Put in what specifiers stand for: here, only that of a percent sign.

    Raises:
        ValueError: It has another one.
    """
    rest = word.replace("%%", "")
    if "%" in rest:
        raise ValueError(f"a specifier: {word}")
    return word.replace("%%", "%")


def command_of(line: str) -> tuple[str, list[str]]:
    """Read ExecStart: the program and its arguments, as they are without variables.

    Raises:
        ValueError: systemd would not take it, or put variables in.
    """
    first, *rest = words_of(line)
    if ":" not in first[: len(first) - len(first.lstrip("-@+!:"))]:
        raise ValueError("variables would be put in")
    program = specified(first.lstrip("-@+!:"))
    if not program.startswith("/") or any(c in program for c in "\"'\\\n\t\r"):
        raise ValueError(f"no program: {program}")
    return program, [specified(word) for word in rest]


def settings_of(unit: str) -> list[tuple[str, str, str]]:
    """Read a unit: section, name, value, in their order; comments and sections of others left out."""
    section, found = "", []
    for line in unit.split("\n"):
        if line.startswith("["):
            section = line.strip("[]")
        elif line and line[0] not in "#;" and not section.startswith("X-"):
            name, _, value = line.partition("=")
            found.append((section, name, value))
    return found
