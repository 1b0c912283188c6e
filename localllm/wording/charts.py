"""Charts for a terminal of any kind: bars of counts, and straight lines that cross. Pure.

Each line has a sign of its own, so that nothing is said by colours alone. Where there are no block
characters (a terminal that is not UTF-8), letters and signs of ASCII stand for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_EIGHTHS = "▏▎▍▌▋▊▉█"
_PLAIN_BAR = "#"
_TICKS = 4
HERE, CROSSING = "●", "◆"
"""Signs for one's own line, and for where another meets it."""

_DRAWN = f"{_EIGHTHS}{HERE}{CROSSING}─┴┤"


@dataclass(frozen=True, slots=True)
class Line:
    """y = start + slope * x."""

    sign: str
    """One character."""

    start: float
    slope: float

    def at(self, x: float) -> float:
        return self.start + self.slope * x


@dataclass(frozen=True, slots=True)
class Frame:
    """How large a chart of lines is: in characters without its labels, and to which x."""

    width: int
    height: int
    x_most: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A point to be seen."""

    sign: str
    x: float
    y: float


def can_draw(encoding: str) -> bool:
    """Whether all that is drawn with blocks exists in an encoding."""
    try:
        _DRAWN.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def bar(value: float, most: float, width: int, *, blocks: bool) -> str:
    """Draw a value beside the largest one, which takes the whole width; something is never nothing.

    >>> bar(4, 8, 4, blocks=True), bar(1, 8, 4, blocks=True), bar(1, 1000, 4, blocks=False)
    ('██', '▌', '#')
    """
    if value <= 0 or most <= 0:
        return ""
    eighths = max(1, round(8 * width * value / most))
    if not blocks:
        return _PLAIN_BAR * max(1, round(eighths / 8))
    whole, rest = divmod(eighths, 8)
    return _EIGHTHS[-1] * whole + (_EIGHTHS[rest - 1] if rest else "")


def line_chart(lines: Sequence[Line], marks: Sequence[Mark], frame: Frame) -> Sequence[str]:
    """Draw lines from x = 0 on, without labels: rows from above; a mark goes over every line."""
    y_most = highest(lines, frame)
    grid = [[" "] * frame.width for _ in range(frame.height)]
    for line in lines:
        for column in range(frame.width):
            x = frame.x_most * column / (frame.width - 1)
            grid[_row(line.at(x), y_most, frame.height)][column] = line.sign
    for mark in marks:
        if 0 <= mark.x <= frame.x_most:
            column = round((frame.width - 1) * mark.x / frame.x_most)
            grid[_row(mark.y, y_most, frame.height)][column] = mark.sign
    return ["".join(row).rstrip() for row in grid]


def highest(lines: Sequence[Line], frame: Frame) -> float:
    """The largest y of a chart; at least a little, so that there is a scale."""
    return max([*(line.at(x) for line in lines for x in (0.0, frame.x_most)), 1e-12])


def under_axis(labels: Sequence[str], width: int) -> str:
    """Set labels evenly along an axis, the first at its beginning and the last at its end."""
    room = [" "] * width
    for number, label in enumerate(labels):
        center = round((width - 1) * number / (len(labels) - 1))
        start = min(max(0, center - len(label) // 2), width - len(label))
        room[start : start + len(label)] = label
    return "".join(room).rstrip()


def axis(width: int, *, blocks: bool, ticks: int = _TICKS) -> str:
    """Draw an axis with a tick under each label."""
    line, tick = ("─", "┴") if blocks else ("-", "+")
    at = {round((width - 1) * number / ticks) for number in range(ticks + 1)}
    return "".join(tick if column in at else line for column in range(width))


def _row(y: float, y_most: float, height: int) -> int:
    """The row of a value, the topmost being 0."""
    return height - 1 - min(height - 1, max(0, round((height - 1) * y / y_most)))
