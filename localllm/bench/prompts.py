"""Prompts of an exact length that no cache has seen: words in an order of their own, counted by the model.

Asks through the function that it is given, and does nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from localllm.bench.points import Point
from localllm.bench.shots import Shot

CHAT = "/v1/chat/completions"
_REPLY = "Go on."
"""Of the assistant, between what fills the context and the prompt that is measured."""

_TRIES = 6
Message = dict[str, str]
Count = Callable[[Sequence[Message]], int]
"""How many tokens a chat has, template and all."""


@dataclass(slots=True)
class Prompter:
    """Makes prompts; learns what a template adds. Mutable.

    Args:
        words: Each with the blank before it, and mostly a token.
        run: What makes this run's prompts another's.
    """

    model: str
    words: Sequence[str]
    count: Count
    run: str
    inexact: int = 0
    """How many prompts are not as long as they were to be."""

    _added: dict[int, int] = field(default_factory=dict[int, int])
    """Tokens beside those of the words, by the number of messages before."""

    def cold(self, point: Point, name: str) -> Shot:
        """A prompt all of which is new."""
        wanted = point.depth_tokens + point.prompt_tokens
        return self._shot(self._chat([], wanted, name), point.answer_tokens, name)

    def filling(self, point: Point, name: str) -> list[Message]:
        """The chat that fills the context up to a point's depth."""
        return self._chat([], point.depth_tokens, name)

    def fill(self, filling: Sequence[Message], name: str) -> Shot:
        """Have it read."""
        return self._shot(filling, 1, name)

    def going_on(self, filling: Sequence[Message], point: Point, name: str) -> Shot:
        """A prompt that goes on from what fills the context; what it adds is new."""
        before = [*filling, {"role": "assistant", "content": _REPLY}]
        chat = self._chat(before, point.depth_tokens + point.prompt_tokens, name)
        return self._shot(chat, point.answer_tokens, name)

    def _chat(self, before: Sequence[Message], wanted: int, name: str) -> list[Message]:
        """Add a message so that all of it has the tokens that are wanted, or nearly."""
        source, key = random.Random(f"{self.run} {name}"), len(before)  # noqa: S311  # no secret
        words = source.choices(self.words, k=wanted)
        taken = self._guess(before, wanted, key)
        for _ in range(_TRIES):
            missing = wanted - self.count(_with(before, words[:taken]))
            if not missing:
                self._added[key] = wanted - taken
                return _with(before, words[:taken])
            better = min(max(1, taken + missing), len(words))
            if better == taken:
                break
            taken = better
        self.inexact += 1
        return _with(before, words[:taken])

    def _guess(self, before: Sequence[Message], wanted: int, key: int) -> int:
        """How many words it will be; what comes before counts like the last time."""
        if key not in self._added:
            self._added[key] = self.count(before) if before else 0
        return max(1, wanted - self._added[key])

    def _shot(self, chat: Sequence[Message], answer_tokens: int, name: str) -> Shot:
        body = {
            "model": self.model,
            "messages": chat,
            "max_tokens": answer_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return Shot(CHAT, msgspec.json.encode(body), name=name)


def _with(before: Sequence[Message], words: Sequence[str]) -> list[Message]:
    return [*before, {"role": "user", "content": "".join(words).strip()}]
