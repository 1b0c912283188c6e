"""Stop sequences, found in a text that comes in pieces. Pure."""

from __future__ import annotations

from collections.abc import Sequence


class StopScan:
    """Cuts a text before the first stop sequence, however the text is cut into pieces.

    Mutable: keeps back the end of what came where a stop sequence may have begun.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._firsts = frozenset(stop[0] for stop in stops)
        self._longest = max(map(len, stops), default=0)
        self._held = ""
        self.met: str | None = None
        """The sequence that was found; what comes after it is nobody's business."""

    def feed(self, piece: str) -> str:
        """Take more of the text; return what of it can be said."""
        if not self._stops:
            return piece
        text = self._held + piece
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            _, start, self.met = min(found)  # which is complete first; of these, the longest
            self._held = ""
            return text[:start]
        begins = self._beginning(text)
        self._held = text[begins:]
        return text[:begins]

    def rest(self) -> str:
        """Give back what was kept, since no more text comes."""
        held, self._held = self._held, ""
        return held

    def _beginning(self, text: str) -> int:
        """Where a stop sequence may have begun; the length of the text if nowhere."""
        for at in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[at] in self._firsts:
                tail = text[at:]
                if any(stop.startswith(tail) for stop in self._stops):
                    return at
        return len(text)
