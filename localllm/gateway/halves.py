"""Mends texts that end in the middle of a character. Pure."""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)"
)
_HALF_BYTES = len(rb"\ud83d")


def with_whole_characters(body: bytes) -> bytes:
    r"""Put U+FFFD for each `\ud83d` of a JSON body that lacks its other half.

    JavaScript writes such a thing where it cuts a text within an emoji, as agents do with the
    output of tools. Engines and parsers refuse it, and it stays in a conversation for good.
    """
    if b"\\ud" not in body and b"\\uD" not in body:
        return body
    return _ESCAPE.sub(_mended, body)


def _mended(found: re.Match[bytes]) -> bytes:
    escape = found.group()
    is_half = len(escape) == _HALF_BYTES and escape[2:3] in b"dD"
    return rb"\ufffd" if is_half else escape
