"""Which row of the screen shows which part of which line: one each, or several where lines are wrapped. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, chop_cells


@dataclass(slots=True)
class Rows:
    """Rows of the lines that are kept.

    Args:
        width: In cells, at which lines are wrapped; None: they are not.
    """

    width: int | None = None
    widest: int = 0
    """Cells of the longest line so far."""

    _starts: list[int] = field(default_factory=list[int])
    _end: int = 0

    def add(self, lines: Iterable[str]) -> None:
        """Take lines in."""
        for line in lines:
            self._starts.append(self._end)
            self._end += 1 if self.width is None else len(pieces(line, self.width))
            self.widest = max(self.widest, _cells(line))

    def drop(self, lines: int) -> int:
        """Forget the first lines; return how many rows they had."""
        before = len(self)
        del self._starts[:lines]
        return before - len(self)

    def __len__(self) -> int:
        return self._end - self._starts[0] if self._starts else 0

    def find(self, row: int) -> tuple[int, int]:
        """Which line a row belongs to, counted from the first that is kept, and which piece of it."""
        absolute = row + self._starts[0]
        line = bisect_right(self._starts, absolute) - 1
        return line, absolute - self._starts[line]

    def row_of(self, line: int) -> int:
        """The first row of a line."""
        return self._starts[line] - self._starts[0]


def rows_of(lines: Sequence[str], width: int | None) -> Rows:
    """Lay lines out anew."""
    rows = Rows(width)
    rows.add(lines)
    return rows


def pieces(line: str, width: int) -> list[str]:
    """Cut a line where the screen ends; at least one piece."""
    if len(line) <= width and line.isascii():
        return [line]
    if line.isascii():
        return [line[at : at + width] for at in range(0, len(line), width)]
    return chop_cells(line, width) or [line]


def _cells(line: str) -> int:
    return len(line) if line.isascii() else cell_len(line)
