"""Memory as a bar: what takes how much of a device, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from localllm.api.views import MemoryView


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
"""Buffers: compute, output, the runtime's own; and a projector or a draft."""

FREE = Piece("free", "·", ".", "")


def can_show_blocks(encoding: str) -> bool:
    """Whether the pieces exist in an encoding."""
    try:
        "".join(piece.block for piece in (*PIECES, FREE)).encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def sizes_of(memory: MemoryView) -> Sequence[int]:
    """Bytes of each piece; recurrent state counts with the cache, which it stands for.

    So do checkpoints, which are what a cache or a state held before.
    """
    kept = memory.kv_cache + memory.recurrent_state + memory.checkpoints
    return memory.weights, kept, memory.total - memory.weights - kept


def bar(memory: MemoryView, of_bytes: int, *, width: int, look: Look) -> str:
    """Draw a device's memory; what does not fit ends in a mark instead of a free part."""
    drawn, so_far, filled = "", 0, 0
    for piece, size_bytes in zip(PIECES, sizes_of(memory), strict=True):
        so_far += size_bytes
        end = min(width, round(width * so_far / of_bytes)) if of_bytes > 0 else 0
        drawn += look.styled(piece.glyph(look) * (end - filled), piece.color)
        filled = end
    if so_far > max(0, of_bytes):
        return drawn + look.styled("!", "red", bold=True)
    return drawn + FREE.glyph(look) * (width - filled)


def legend(look: Look) -> str:
    """Say what the pieces mean."""
    said = [f"{look.styled(piece.glyph(look), piece.color)} {piece.label}" for piece in PIECES]
    return "  ".join([*said, f"{FREE.glyph(look)} {FREE.label}", "! too big"])
