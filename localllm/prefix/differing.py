"""What it is that differs where two texts part: a date, a time, a number, something else. Pure.

The texts are JSON as it was sent, so a line's end is a backslash and an n here. What is shown of
them is short, on one line, and nothing that a terminal would obey.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum


class Kind(StrEnum):
    """Of what changed."""

    DATE = "date"
    TIME = "time"
    ID = "id"
    COUNTER = "counter"
    ORDER = "order"
    """Tools that are the same, in another order."""

    TEXT = "text"


_SHOWN_BEFORE, _SHOWN_BEHIND = 24, 36
"""Characters around the place."""

_LOOKED_AT = 64
"""Bytes before and behind the place in which the pattern has to be."""

_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"
_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_PATTERNS: Sequence[tuple[Kind, re.Pattern[bytes]]] = [
    (kind, re.compile(pattern))
    for kind, pattern in (
        (Kind.ID, rb"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
        (Kind.DATE, rb"(?<!\d)\d{4}([-/.])\d{1,2}\1\d{1,2}(?!\d)"),
        (Kind.DATE, rb"(?<!\d)\d{1,2}([/.])\d{1,2}\1(?:\d{4}|\d\d)(?!\d)"),
        (Kind.DATE, rb"\b(?:%b,? )?%b \d{1,2}(?:st|nd|rd|th)?\b(?:,? \d{4})?" % (_DAY, _MONTH)),
        (Kind.DATE, rb"\b(?:%b,? )?\d{1,2}\.? %b,?(?: \d{4})?" % (_DAY, _MONTH)),
        (Kind.DATE, rb"\b%b\b" % _DAY),
        (Kind.TIME, rb"(?i)(?<!\d)\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[ap]m)?(?!\d)"),
        (Kind.TIME, rb"(?<!\d)(?:1[5-9]|2[0-2])\d{8}(?:\.\d+|\d{3}|\d{6}|\d{9})?(?!\d)"),
        (Kind.COUNTER, rb"(?<![\w-])\d[\d.,]*(?![\w-])"),
        (Kind.ID, rb"(?i)(?<![0-9a-z])(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,}(?![0-9a-z])"),
        (Kind.ID, rb"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{12,}(?![\w-])"),
    )
]
"""The first that both texts have at the place; a number that is a time is no counter."""

_ESCAPE = re.compile(r"\\(?:[nrtbf]|u00[01][0-9a-fA-F])")


def kind_at(before: bytes, now: bytes, place: int) -> Kind:
    """Tell what differs where two texts part."""
    windows = [text[max(0, place - _LOOKED_AT) : place + _LOOKED_AT] for text in (before, now)]
    at = min(place, _LOOKED_AT)
    for kind, pattern in _PATTERNS:
        old, new = (_begin_at(pattern, window, at) for window in windows)
        if old is not None and old == new:
            return kind
    return Kind.TEXT


def _begin_at(pattern: re.Pattern[bytes], window: bytes, at: int) -> int | None:
    """Where something begins that reaches over `at`, or ends right before it."""
    found = (match for match in pattern.finditer(window) if match.end() >= at)
    match = next(found, None)
    return match.start() if match is not None and match.start() <= at else None


def snippet(text: bytes, place: int) -> str:
    """Show the text around a place: at most 60 characters, on one line."""
    before = _plain(_cut(text[max(0, place - 4 * _SHOWN_BEFORE) : place]))[-_SHOWN_BEFORE:]
    word = before.find(" ")
    if place > _SHOWN_BEFORE and 0 <= word < _SHOWN_BEFORE // 2:  # begin with a whole word
        before = before[word + 1 :]
    behind = _plain(_cut(text[place : place + 4 * _SHOWN_BEHIND]))[:_SHOWN_BEHIND]
    return (before + behind).strip()


def _cut(text: bytes) -> str:
    """Read what may begin and end within a character."""
    return text.decode("utf-8", "ignore")


def _plain(text: str) -> str:
    """Take JSON's escapes away, and what a terminal would obey or turn around."""
    text = _ESCAPE.sub(" ", text).replace('\\"', '"').replace("\\\\", "\\")
    return "".join(c if c.isprintable() else " " for c in text)
