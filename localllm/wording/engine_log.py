"""Makes harmless lines of what an engine writes. Pure."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

from localllm.wording.plain import plain

_LONGEST, _TAB = 2000, 8
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
        line = plain(_ESCAPES.sub("", line).expandtabs(_TAB))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
