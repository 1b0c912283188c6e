"""What each request of one pass says: made when it is sent, since it may go on from an answer. Mutable.

A chat that goes on has the answers before in its prompt, and an engine has those in its cache. What
the model says in a replay is not what it said then, so a prompt that had an answer in it gets the
answer of this pass, if it is there by then, and as many words less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from localllm.api.traffic_file import Shape
from localllm.bench.replay_texts import Texts
from localllm.bench.shots import Shot

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
_HALF = 0.5
_OF_LENGTH = frozenset({"max_completion_tokens", "n_predict", "id_slot"})
"""What goes before `max_tokens`, or is an engine's own."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer of this pass, and how many tokens it is as a part of a prompt."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class _Sent:
    text: str
    tokens: int


@dataclass(slots=True)
class Prompts:
    """Of one pass.

    Args:
        before: Tokens that the engine puts before every prompt.
    """

    model: str
    texts: Texts
    shapes: Sequence[Shape]
    before: int
    _known: dict[int, Shape] = field(init=False)
    _to_come: Counter[int] = field(init=False)
    """How many requests are still to go on from each."""

    _sent: dict[int, _Sent] = field(default_factory=dict[int, _Sent])
    _said: dict[int, Said] = field(default_factory=dict[int, Said])

    def __post_init__(self) -> None:
        self._known = {shape.id: shape for shape in self.shapes}
        going_on = (shape.goes_on_from for shape in self.shapes)
        self._to_come = Counter(one for one in going_on if one in self._known)

    def is_gone_on_from(self, request: int) -> bool:
        """Whether a prompt is to come that goes on from this request."""
        return self._to_come[request] > 0

    def answered(self, request: int, said: Said) -> None:
        """Note the answer to a request."""
        if self.is_gone_on_from(request):
            self._said[request] = said

    def shot_of(self, shape: Shape) -> Shot:
        """Make a request, due at once. Once for each."""
        if shape.body is not None:
            return _recorded(shape, shape.body, self.model)
        asked = {"model": self.model, "prompt": self._text_of(shape), **_asked(shape)}
        if shape.conversation is not None:
            asked["prompt_cache_key"] = f"replay-{self.texts.salt}-{shape.conversation}"
        return Shot(COMPLETIONS, msgspec.json.encode(asked), name=str(shape.id))

    def _text_of(self, shape: Shape) -> str:
        words, length = self.texts.words_of(shape), shape.input_length or 0
        begun = self._begun(shape)
        text = begun.text + "".join(words[begun.tokens :]) or self.texts.words[0]
        if self.is_gone_on_from(shape.id):
            self._sent[shape.id] = _Sent(text, length)
        return text

    def _begun(self, shape: Shape) -> _Sent:
        """What it goes on from: a prompt as it was sent, with its answer or without."""
        nothing = _Sent("", self.before)
        if shape.goes_on_from is None or shape.goes_on_from not in self._known:
            return nothing
        earlier = self._known[shape.goes_on_from]
        sent, said = self._sent.get(earlier.id), self._said.get(earlier.id)
        self._used(earlier.id)
        if sent is None:
            return nothing
        if said is None or not has_answer(shape, earlier):
            return sent
        whole = _Sent(sent.text + said.text, sent.tokens + said.tokens)
        return whole if whole.tokens <= (shape.input_length or 0) else sent

    def _used(self, request: int) -> None:
        """Forget what nobody goes on from any more: texts of hours do not fit into memory."""
        self._to_come[request] -= 1
        if self._to_come[request] <= 0:
            self._sent.pop(request, None)
            self._said.pop(request, None)


def has_answer(shape: Shape, earlier: Shape) -> bool:
    """Whether a prompt had the answer to an earlier request in it, as what was cached tells.

    Where less was cached than the earlier prompt, its place was taken by others, which tells nothing.
    """
    if earlier.input_length is None or not earlier.output_length:
        return False
    found = (shape.cached_tokens or 0) - earlier.input_length
    room = (shape.input_length or 0) - earlier.input_length - earlier.output_length
    return room >= 0 and (found < 0 or found >= _HALF * earlier.output_length)


def _asked(shape: Shape) -> dict[str, object]:
    """How long the answer is to be: as it was, whatever the model would say."""
    return {
        "max_tokens": max(1, shape.output_length),
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _recorded(shape: Shape, body: Mapping[str, Any], model: str) -> Shot:
    """Send what was recorded."""
    kept = {name: value for name, value in body.items() if name not in _OF_LENGTH}
    path = CHAT if "messages" in body else COMPLETIONS
    sent = {**kept, "model": model, **_asked(shape)}
    return Shot(path, msgspec.json.encode(sent), name=str(shape.id))
