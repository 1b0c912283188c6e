"""Blocks, boxes and signs as shapes: no font draws them alike, and few without gaps. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

WIDTH, HEIGHT = 8.4, 19.0
"""Of a cell, in the units of the picture, of which the letters are 14 high."""

Shape = Callable[[float, float], str]
"""An element for the cell or cells that begin at x, and are so many columns wide."""

_LINE = 1.2
_HALF = _LINE / 2
_MIDDLE = HEIGHT / 2
_TOP, _RIGHT, _BOTTOM, _LEFT = 1, 2, 4, 8
_LINES = {
    "─": _LEFT | _RIGHT,
    "━": _LEFT | _RIGHT,
    "│": _TOP | _BOTTOM,
    "┃": _TOP | _BOTTOM,
    "┌": _RIGHT | _BOTTOM,
    "┐": _LEFT | _BOTTOM,
    "└": _TOP | _RIGHT,
    "┘": _TOP | _LEFT,
    "├": _TOP | _RIGHT | _BOTTOM,
    "┤": _TOP | _LEFT | _BOTTOM,
    "┬": _LEFT | _RIGHT | _BOTTOM,
    "┴": _LEFT | _RIGHT | _TOP,
    "┼": _LEFT | _RIGHT | _TOP | _BOTTOM,
    "╸": _LEFT,
    "╺": _RIGHT,
}
_HEAVY = "━┃╸╺"
_ROUND = {"╭": (1, 1), "╮": (-1, 1), "╰": (1, -1), "╯": (-1, -1)}
"""Where their ends are, seen from the middle of the cell."""

_SHADES = {"░": 0.3, "▒": 0.5, "▓": 0.75}


def number(value: float) -> str:
    """Write a length as short as it goes.

    >>> number(8.4), number(19.0), number(0.25)
    ('8.4', '19', '.25')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".").removeprefix("0") or "0"


def shape_of(character: str) -> Shape | None:
    """Find how it is drawn; None where a font has to."""
    return _SHAPES.get(character)


def _rect(x: float, y: float, width: float, height: float, more: str = "") -> str:
    return (
        f'<path shape-rendering="crispEdges"{more} '
        f'd="M{number(x)} {number(y)}h{number(width)}v{number(height)}h{number(-width)}z"/>'
    )


def _lower(eighths: int) -> Shape:
    height = HEIGHT * eighths / 8
    return lambda x, columns: _rect(x, HEIGHT - height, WIDTH * columns, height)


def _upper(eighths: int) -> Shape:
    return lambda x, columns: _rect(x, 0, WIDTH * columns, HEIGHT * eighths / 8)


def _left(eighths: int) -> Shape:
    return _each(lambda x: _rect(x, 0, WIDTH * eighths / 8, HEIGHT))


def _right(eighths: int) -> Shape:
    return _each(lambda x: _rect(x + WIDTH * (1 - eighths / 8), 0, WIDTH * eighths / 8, HEIGHT))


def _shade(share: float) -> Shape:
    opacity = f' opacity="{number(share)}"'
    return lambda x, columns: _rect(x, 0, WIDTH * columns, HEIGHT, opacity)


def _each(one: Callable[[float], str]) -> Shape:
    """Draw each column by itself."""
    return lambda x, columns: "".join(one(x + WIDTH * n) for n in range(round(columns)))


def _lines(arms: int, thickness: float) -> Shape:
    """Draw lines from the middle of a cell to its sides."""
    half = thickness / 2

    def one(x: float) -> str:
        centre = x + WIDTH / 2
        left = x if arms & _LEFT else centre - half
        right = x + WIDTH if arms & _RIGHT else centre + half
        drawn = ""
        if arms & (_LEFT | _RIGHT):
            drawn += _rect(left, _MIDDLE - half, right - left, thickness)
        top = 0 if arms & _TOP else _MIDDLE - half
        bottom = HEIGHT if arms & _BOTTOM else _MIDDLE + half
        if arms & (_TOP | _BOTTOM):
            drawn += _rect(centre - half, top, thickness, bottom - top)
        return drawn

    if arms == _LEFT | _RIGHT:
        return lambda x, columns: _rect(x, _MIDDLE - half, WIDTH * columns, thickness)
    return _each(one)


def _arc(right: int, down: int) -> Shape:
    """Draw a round corner, with its ends at a side and at the top or the bottom."""

    def one(x: float) -> str:
        centre, radius = x + WIDTH / 2, WIDTH / 2
        side, end = centre + right * radius, HEIGHT if down > 0 else 0.0
        outline = (
            f"M{number(side)} {number(_MIDDLE)}Q{number(centre)} {number(_MIDDLE)} "
            f"{number(centre)} {number(_MIDDLE + down * radius)}V{number(end)}"
        )
        return f'<path d="{outline}" class="l"/>'

    return _each(one)


def _disc(kind: str) -> Shape:
    """Draw a full, an empty or a half disc."""
    radius = 3.7

    def one(x: float) -> str:
        cx, cy, r = number(x + WIDTH / 2), number(_MIDDLE + 0.5), number(radius)
        if kind == "●":
            return f'<circle cx="{cx}" cy="{cy}" r="{r}"/>'
        ring = f'<circle cx="{cx}" cy="{cy}" r="{number(radius - _HALF)}" class="l"/>'
        half = f'<path d="M{cx} {number(_MIDDLE + 0.5 - radius)}a{r} {r} 0 0 0 0 {number(2 * radius)}z"/>'
        return ring if kind == "○" else ring + half

    return _each(one)


def _triangle(x: float) -> str:
    top, left = number(_MIDDLE - 3.6), number(x + 1.2)
    return f'<path d="M{left} {top}l6.4 4.1l-6.4 4.1z"/>'


_SHAPES: Mapping[str, Shape] = {
    "█": _lower(8),
    **{block: _lower(n) for n, block in enumerate("▁▂▃▄▅▆▇", 1)},
    **{block: _left(8 - n) for n, block in enumerate("▉▊▋▌▍▎▏", 1)},
    "▀": _upper(4),
    "▔": _upper(1),
    "▐": _right(4),
    "▕": _right(1),
    **{block: _shade(share) for block, share in _SHADES.items()},
    **{line: _lines(arms, 2 * _LINE if line in _HEAVY else _LINE) for line, arms in _LINES.items()},
    **{corner: _arc(*ends) for corner, ends in _ROUND.items()},
    **{disc: _disc(disc) for disc in "●○◐"},
    "▶": _each(_triangle),
}
SHAPED = "".join(_SHAPES)
"""All that has one."""
