"""What the mlx worker's slots hold. Pure.

mlx-lm finds kept prompts by their tokens and knows no slots. A slot here is a name for the tokens
that the last request sent to it has left among them.
"""

from __future__ import annotations

from collections.abc import Sequence


class Slots:
    """Which tokens each slot's last request has left. Used by one thread alone."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._reading: dict[int, Sequence[int]] = {}
        """Prompts of requests on their way; the last that began comes last."""

        self._held: dict[int, Sequence[int]] = {}

    def begin(self, slot: int | None, prompt: Sequence[int]) -> None:
        """Note that a request begins there; what a slot held is not its own any more."""
        if slot is not None and 0 <= slot < self._count:
            self.forget(slot)
            self._reading[slot] = prompt

    def note(self, kept: Sequence[int]) -> None:
        """Note what is kept now: a part of a prompt, or one with its answer.

        It is not told whose it is. Requests with the very same prompt may thus be taken for each
        other, which does no harm: what they hold is of equal use to both.
        """
        ended = [slot for slot, prompt in self._reading.items() if _begins(kept, prompt)]
        if ended:
            slot = max(reversed(ended), key=lambda one: len(self._reading[one]))
            del self._reading[slot]
            self._held[slot] = kept
        for slot, prompt in self._reading.items():
            if _begins(prompt, kept) and len(kept) > len(self._held.get(slot, ())):
                self._held[slot] = kept

    def put(self, slot: int, tokens: Sequence[int]) -> None:
        """Note what was put there."""
        self.forget(slot)
        self._held[slot] = tokens

    def held(self, slot: int) -> Sequence[int]:
        """Tell what a slot holds; nothing, as far as is known, if it is empty."""
        return self._held.get(slot, ())

    def forget(self, slot: int) -> None:
        """Have a slot hold nothing."""
        self._held.pop(slot, None)
        self._reading.pop(slot, None)


def _begins(whole: Sequence[int], part: Sequence[int]) -> bool:
    return whole[: len(part)] == part
