"""Memory as a bar: what takes how much of a device, and what is left."""

from __future__ import annotations

from dataclasses import dataclass

import click

from localllm.wording.figures import DASH
from localllm.wording.takes import Takes, shares_of


@dataclass(frozen=True, slots=True)
class Look:
    """What a terminal can show; words say the same as colours and blocks."""

    color: bool
    blocks: bool = True
    """Whether it has block characters: a terminal that is not UTF-8 has none."""

    def styled(self, text: str, color: str | None = None, *, bold: bool | None = None) -> str:
        return click.style(text, fg=color, bold=bold) if self.color and text else text


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of the bar."""

    label: str
    block: str
    plain: str
    color: str

    def glyph(self, look: Look) -> str:
        return self.block if look.blocks else self.plain


PIECES = (
    Piece("weights", "█", "#", "blue"),
    Piece("KV cache", "▓", "=", "cyan"),
    Piece("buffers", "▒", "+", "yellow"),
)
"""As `Takes` has them."""

FREE = Piece("free", "·", ".", "")
TOO_BIG = "!"


def can_show_blocks(encoding: str) -> bool:
    """Whether the pieces exist in an encoding."""
    try:
        "".join(piece.block for piece in (*PIECES, FREE)).encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def bar(takes: Takes | None, *, width: int, look: Look) -> str:
    """Draw the memory of its devices as one; what does not fit ends in a mark instead of a free part."""
    if takes is None:
        return DASH
    shares = shares_of(takes, width)
    counts = (shares.weights, shares.cache, shares.other)
    drawn = "".join(
        look.styled(piece.glyph(look) * count, piece.color)
        for piece, count in zip(PIECES, counts, strict=True)
    )
    if shares.is_too_big:
        return drawn + look.styled(TOO_BIG, "red", bold=True) + " " * shares.blank
    return drawn + FREE.glyph(look) * shares.free


def legend(look: Look) -> str:
    """Say what the pieces mean."""
    said = [f"{look.styled(piece.glyph(look), piece.color)} {piece.label}" for piece in PIECES]
    return "  ".join([*said, f"{FREE.glyph(look)} {FREE.label}", f"{TOO_BIG} too big"])
