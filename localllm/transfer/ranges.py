"""Which bytes of a file are here: ranges that neither overlap nor touch. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Ranges:
    """Half-open: a range of (0, 10) is the first ten bytes."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))

    @property
    def total(self) -> int:
        return sum(end - start for start, end in self)

    @property
    def frontier(self) -> int:
        """Up to here all is here, from the first byte on."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def add(self, start: int, end: int) -> None:
        """Have a range, too; one that is empty changes nothing."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def clear(self) -> None:
        """Have nothing any more."""
        self._starts.clear()
        self._ends.clear()

    def gaps(self, size: int) -> Iterator[tuple[int, int]]:
        """What is lacking of a file of `size` bytes, from the beginning on."""
        at = 0
        for start, end in self:
            if at < min(start, size):
                yield at, min(start, size)
            at = end
        if at < size:
            yield at, size
