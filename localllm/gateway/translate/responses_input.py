"""What the model gives to a tool that takes text: the string in `{"input": "..."}`. Pure."""

from __future__ import annotations

import json
import re

_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_LONGEST_HEAD = 64
_READABLE = re.compile(
    r'(?:[^"\\]|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"
)
"""As much of a string as stands by itself: an escape that is cut, or half of a pair, waits."""

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TO_THE_QUOTE = re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL)


class InputReader:
    """Reads it while it comes, in whatever pieces. Mutable.

    Small models write other things than they were told to: JSON with other fields, or the text as
    it is. What the pieces could not be read as is given at the end, and nothing is ever lost.
    """

    def __init__(self) -> None:
        self._all: list[str] = []
        self._rest = ""
        self._is_inside = False
        self._is_over = False

    def feed(self, piece: str) -> str:
        """Take a piece of the arguments; return what of the input can be read by it."""
        self._all.append(piece)
        if self._is_over:
            return ""
        self._rest += piece
        return self._read() if self._is_inside or self._enter() else ""

    def finish(self) -> str:
        """Return what `feed` could not."""
        if self._is_over and self._is_inside:
            return ""
        if self._is_inside:
            return _lenient(self._rest)
        return _any_input("".join(self._all))

    def _enter(self) -> bool:
        head = _HEAD.match(self._rest)
        if head is None:
            self._is_over = len(self._rest) > _LONGEST_HEAD
            return False
        self._is_inside, self._rest = True, self._rest[head.end() :]
        return True

    def _read(self) -> str:
        found = _READABLE.match(self._rest)
        assert found is not None  # it matches nothing at all, too
        self._rest = self._rest[found.end() :]
        self._is_over = self._rest.startswith('"')
        return _unquoted(found.group())


def _unquoted(text: str) -> str:
    """Read the inside of a JSON string; a line break may stand in it as it is."""
    read = json.loads(f'"{text}"', strict=False)
    assert isinstance(read, str)
    return _whole(read)


def _whole(text: str) -> str:
    """Put U+FFFD for half of a pair, which no text can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _lenient(rest: str) -> str:
    """Read the end of a string that is cut off, or has an escape that JSON does not know."""
    found = _TO_THE_QUOTE.match(rest)
    text = found.group() if found else ""
    try:
        return _unquoted(_ESCAPED.sub(_known, text))
    except ValueError:
        return text


def _known(escape: re.Match[str]) -> str:
    return escape.group() if escape.group(1) in '"\\/bfnrtu' else "\\" + escape.group()


def _any_input(arguments: str) -> str:
    """Take the input out of arguments that are not as they should be."""
    try:
        read = json.loads(arguments, strict=False)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(read, str):
        return _whole(read)
    texts = [v for v in read.values() if isinstance(v, str)] if isinstance(read, dict) else []
    if isinstance(read, dict) and isinstance(read.get("input"), str):
        return _whole(read["input"])
    return _whole(texts[0]) if len(texts) == 1 else arguments
