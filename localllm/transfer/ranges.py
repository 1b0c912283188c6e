"""Which bytes of a file are here: ranges that neither overlap nor touch. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence


class Ranges:
    """Half-open: a range of (0, 10) is the first ten bytes."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._total = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))

    @property
    def total(self) -> int:
        return self._total

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
        held = zip(self._starts[first:last], self._ends[first:last], strict=True)
        known = sum(stop - begin for begin, stop in held)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        self._total += end - start - known

    def lacking(self, start: int, end: int) -> Sequence[tuple[int, int]]:
        """What is not here of the bytes from `start` up to `end`, in order."""
        found: list[tuple[int, int]] = []
        at = start
        for i in range(bisect_right(self._ends, start), len(self._starts)):
            if self._starts[i] >= end:
                break
            if at < self._starts[i]:
                found.append((at, self._starts[i]))
            at = self._ends[i]
        if at < end:
            found.append((at, end))
        return found
