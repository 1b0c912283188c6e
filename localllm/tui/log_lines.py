"""Keeps the newest lines of what an engine writes, and finds text in them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

MOST = 5000
"""Lines that are kept."""


@dataclass(slots=True)
class Kept:
    """The newest lines, each with a number that stays its own.

    Args:
        most: So many are kept.
    """

    most: int = MOST
    lines: list[str] = field(default_factory=list[str])
    gone: int = 0
    """So many were left out at the beginning; also the number of the first that is kept."""

    def add(self, lines: Sequence[str]) -> int:
        """Take lines in; return how many old ones went."""
        self.lines.extend(lines)
        over = max(0, len(self.lines) - self.most)
        del self.lines[:over]
        self.gone += over
        return over

    @property
    def end(self) -> int:
        """The number that the next line will have."""
        return self.gone + len(self.lines)

    def __getitem__(self, number: int) -> str:
        return self.lines[number - self.gone]


@dataclass(slots=True)
class Search:
    """Where a text is found; capitals and small letters are the same."""

    text: str = ""
    hits: list[int] = field(default_factory=list[int])
    """Numbers of lines."""

    at: int | None = None
    """The one that is looked at: an index into `hits`."""

    def begin(self, text: str, kept: Kept) -> None:
        """Look for something else."""
        self.text, self.hits, self.at = text.lower(), [], None
        self.look(kept, kept.gone)

    def look(self, kept: Kept, since: int) -> None:
        """Look through lines that are new, and forget those that are gone."""
        gone = next((i for i, hit in enumerate(self.hits) if hit >= kept.gone), len(self.hits))
        del self.hits[:gone]
        if self.at is not None:
            self.at = max(0, self.at - gone) if self.hits else None
        if self.text:
            first = max(since, kept.gone)
            found = (n for n in range(first, kept.end) if self.text in kept[n].lower())
            self.hits.extend(found)

    def go(self, step: int, near: int) -> int | None:
        """Go to the next hit or the one before; return its line.

        Args:
            near: The line from which to go on at first.
        """
        if not self.hits:
            return None
        if self.at is None:
            after = next((i for i, hit in enumerate(self.hits) if hit >= near), 0)
            self.at = after if step > 0 else after - 1
        else:
            self.at += step
        self.at %= len(self.hits)
        return self.hits[self.at]

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Where in a line it is."""
        if not self.text:
            return []
        lowered = line.lower()
        if len(lowered) != len(line):  # a letter that is two when small
            return []
        pattern = re.compile(re.escape(self.text))
        return [found.span() for found in pattern.finditer(lowered)]


def left_out(count: int) -> str:
    """Say that lines are missing here."""
    lines = "line was" if count == 1 else "lines were"
    return f"… {count:,} {lines} left out here: they came faster than they can be shown …"
