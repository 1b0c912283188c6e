"""Memory as a bar: what takes how much of a device, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from localllm.api.views import MemoryView


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of the bar."""

    label: str
    glyph: str
    color: str
    size_bytes: int


FREE = "·"
LEGEND = (("weights", "█", "blue"), ("KV cache", "▓", "cyan"), ("buffers", "▒", "yellow"))
"""Buffers: compute, output, the runtime's own, a projector's and a draft's."""


def pieces(memory: MemoryView) -> Sequence[Piece]:
    """The parts of the bar; recurrent state counts with the cache, which it stands for."""
    kept = memory.kv_cache + memory.recurrent_state
    sizes = (memory.weights, kept, memory.total - memory.weights - kept)
    return [Piece(*named, each) for named, each in zip(LEGEND, sizes, strict=True)]


def bar(memory: MemoryView, of_bytes: int, *, width: int, color: bool) -> str:
    """Draw a device's memory; what does not fit ends in a mark instead of a free part."""
    if of_bytes <= 0:
        return "!".rjust(width)
    drawn, so_far, filled = "", 0, 0
    for piece in pieces(memory):
        so_far += piece.size_bytes
        end = min(width, round(width * so_far / of_bytes))
        text = piece.glyph * (end - filled)
        drawn += click.style(text, fg=piece.color) if color and text else text
        filled = end
    if so_far > of_bytes:
        return drawn + (click.style("!", fg="red", bold=True) if color else "!")
    return drawn + FREE * (width - filled)


def legend(*, color: bool) -> str:
    """Say what the pieces mean."""
    said = [
        f"{click.style(glyph, fg=shade) if color else glyph} {label}"
        for label, glyph, shade in LEGEND
    ]
    return "  ".join([*said, f"{FREE} free", "! too big"])
