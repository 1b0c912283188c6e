"""Makes harmless lines of what an engine writes, and keeps the newest of them. Pure."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from localllm.api.event_views import EventView
from localllm.tui.words import DASH, plain

MOST = 5000
"""Lines that are kept."""

_LONGEST = 2000
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
"""Colours, moves of the cursor, titles of windows."""


@dataclass(slots=True)
class Cutter:
    """Cuts pieces of a log, which may end within a line or a character, into lines."""

    _rest: str = ""
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def lines(self, chunk: bytes) -> list[str]:
        """Take a piece; return the lines that are whole now."""
        *whole, self._rest = (self._rest + self._decoder.decode(chunk)).split("\n")
        if len(self._rest) > _LONGEST:  # it may never end
            whole, self._rest = [*whole, self._rest], ""
        return [harmless(line) for line in whole]

    def end(self) -> list[str]:
        """Return the last line, if it was cut off."""
        rest, self._rest = self._rest, ""
        return [harmless(rest)] if rest else []


def harmless(line: str) -> str:
    """Take out what a terminal would obey, and cut what is far too long."""
    if "\r" in line:  # a progress bar that overwrites itself: its last state counts
        line = line.rstrip("\r").rpartition("\r")[2]
    if not line.isprintable():
        line = plain(_ESCAPES.sub("", line).expandtabs(8))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def line_of(event: EventView) -> str:
    """Say an event on one line."""
    clock = time.strftime("%H:%M:%S", time.localtime(event.at))
    what = f"{event.old} -> {event.new}" if event.topic == "state" else event.topic
    return harmless(f"{clock}  {what:<20}  {event.instance or event.model or DASH}  {event.why}")


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
