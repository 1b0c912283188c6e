"""Text of others made harmless: names of files and repositories, sentences of hubs, answers of models.

Imports next to nothing: an error that ends a command needs it, and should not cost more than that.
"""

from __future__ import annotations

from unicodedata import category

_TAB = 4


def plain(text: str) -> str:
    """Take out what a terminal would obey: control characters, and what turns text around.

    A blank of any width is a space: how wide it is, no two terminals agree.
    """
    return text if text.isprintable() else "".join(map(_harmless, text))


def plain_lines(text: str) -> list[str]:
    """Cut text into harmless lines."""
    return [plain(line.expandtabs(_TAB)) for line in text.splitlines()]


def plain_line(text: str) -> str:
    """Make one harmless line of all lines."""
    return " ".join(plain_lines(text))


def plain_text(text: str) -> str:
    """Make text harmless whose lines stay as many as they are."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(plain(line.expandtabs(_TAB)) for line in lines)


def plain_piece(piece: str) -> str:
    """Make a piece of a text harmless that comes in pieces: line ends and tabs stay in their places."""
    if piece.isprintable():
        return piece
    return "".join(c if c in "\n\t" else _harmless(c) for c in piece.replace("\r", ""))


def _harmless(c: str) -> str:
    if c.isprintable():
        return c
    return " " if category(c) == "Zs" else "?"
