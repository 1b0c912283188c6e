"""Mends texts that end in the middle of a character. Pure."""

from __future__ import annotations

import re

_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALVES = re.compile(rb"(%s)(%s)?|%s" % (_HIGH, _LOW, _LOW))
_LOST = rb"\ufffd"
_BACKSLASH = ord("\\")


def with_whole_characters(body: bytes) -> bytes:
    r"""Put U+FFFD for each `\ud83d` of a JSON body that lacks its other half.

    JavaScript writes such a thing where it cuts a text within an emoji, as agents do with the
    output of tools. Engines and parsers refuse it, and it stays in a conversation for good.
    """
    if b"\\ud" not in body and b"\\uD" not in body:
        return body
    return _HALVES.sub(_mended, body)


def _mended(found: re.Match[bytes]) -> bytes:
    high, low = found[1], found[2]
    if _is_escaped(found.string, found.start()):  # a backslash that is one, and some letters
        return found[0] if high is None or low is None else high + _LOST
    return found[0] if low is not None else _LOST


def _is_escaped(body: bytes, at: int) -> bool:
    """Tell whether a backslash has an odd number of them before it."""
    before = at
    while before and body[before - 1] == _BACKSLASH:
        before -= 1
    return (at - before) % 2 == 1
