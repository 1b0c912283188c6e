"""How much room text takes on a terminal, and text made to fit."""

from __future__ import annotations

from unicodedata import combining, east_asian_width

_WIDE = {"W", "F"}


def columns(text: str) -> int:
    """How much room it takes on a terminal; Chinese takes two columns a character."""
    return sum(_columns_of(c) for c in text)


def clipped(text: str, width: int) -> str:
    """Cut off what has no room, and show that something is cut off."""
    if columns(text) <= width:
        return text
    kept, room = "", width - 1
    for c in text:
        room -= _columns_of(c)
        if room < 0:
            break
        kept += c
    return f"{kept}~" if width > 0 else ""


def padded(text: str, width: int) -> str:
    """Cut off or fill up with blanks."""
    text = clipped(text, width)
    return text + " " * (width - columns(text))


def _columns_of(c: str) -> int:
    if combining(c):
        return 0
    return 2 if east_asian_width(c) in _WIDE else 1
