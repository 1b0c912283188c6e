"""Where an answer ends: before the first stop sequence, found in its text. Pure."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Ends a text before the first stop sequence.

    mlx-lm, left alone, looks for the tokens that a sequence has when it stands alone, and so misses ` Paris`
    where `Paris` was to stop it; text is compared here.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._held = ""
        self.found = False

    def take(self, text: str) -> str:
        """Add a piece; return what can be passed on."""
        text = self._held + text
        places = [place for word in self._words if (place := text.find(word)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        end = len(text) - self._begun(text)
        self._held = text[end:]
        return text[:end]

    def rest(self) -> str:
        """Return what was held back, since nothing follows."""
        held, self._held = self._held, ""
        return held

    def _begun(self, text: str) -> int:
        """How many of the last characters might be the start of a stop sequence."""
        starts = (word[:n] for word in self._words for n in range(1, len(word)))
        return max((len(start) for start in starts if text.endswith(start)), default=0)
