"""A bar of pieces that can be told apart without colour. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content


@dataclass(frozen=True, slots=True)
class Kind:
    """What pieces look like."""

    label: str
    block: str
    style: str


WEIGHTS = Kind("weights", "█", "$primary")
CACHE = Kind("KV cache", "▓", "$secondary")
BUFFERS = Kind("buffers", "▒", "$accent")
OTHERS = Kind("other programs", "◆", "$warning")
FREE = Kind("free", "·", "$foreground-muted")
RESERVE = Kind("reserve", "-", "$foreground-muted")
UNKNOWN = Kind("not known", "?", "$foreground-muted")
KINDS = (WEIGHTS, CACHE, BUFFERS, OTHERS, FREE, RESERVE)
"""In the order of a bar; buffers are what computes, and the runtime's own."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a bar."""

    kind: Kind
    size: int
    mark: str = ""
    """Stands in the place of its first column: the number of its owner."""


def render_bar(pieces: Sequence[Piece], width: int) -> Content:
    """Draw the pieces side by side; one that is there at all has a column, as far as there are any."""
    parts: list[tuple[str, str]] = []
    for piece, columns in zip(pieces, _share_out([p.size for p in pieces], width), strict=True):
        drawn = piece.kind.block * columns
        if piece.mark and columns:
            drawn = piece.mark[:columns] + drawn[len(piece.mark) :]
        parts.append((drawn, piece.kind.style))
    return Content.assemble(*parts)


def render_legend(kinds: Sequence[Kind] = KINDS) -> Content:
    """Say what the pieces mean."""
    parts: list[str | tuple[str, str]] = []
    for kind in kinds:
        parts += [(kind.block, kind.style), f" {kind.label}  "]
    return Content.assemble(*parts).rstrip()


def _share_out(sizes: Sequence[int], width: int) -> list[int]:
    """Give each its part of the columns, at least one where it has any size; all are given out."""
    whole = sum(sizes)
    if whole <= 0 or width <= 0:
        return [0] * len(sizes)
    columns = [max(1, int(width * size / whole)) if size > 0 else 0 for size in sizes]
    rests = sorted(
        range(len(sizes)), key=lambda i: width * sizes[i] / whole - columns[i], reverse=True
    )
    for i in rests:
        if sum(columns) < width and sizes[i] > 0:
            columns[i] += 1
    while sum(columns) > width:
        largest = max(range(len(sizes)), key=lambda i: columns[i])
        columns[largest] -= 1
    return columns
