"""The documents of one answer, as llama.cpp's server writes them for OpenAI's clients. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]
Delta = dict[str, Any]
"""What one event of a stream adds, by OpenAI's names; `reasoning_content` is llama.cpp's."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What an answer took; times by the worker's own clock."""

    prompt: int
    cached: int
    """Of the prompt, tokens that were not read again."""

    answer: int
    """Tokens generated, the one that ends an answer among them."""

    prompt_s: float
    """Until the first token."""

    answer_s: float
    """From the first token on."""

    @property
    def usage(self) -> Document:
        return {
            "completion_tokens": self.answer,
            "prompt_tokens": self.prompt,
            "total_tokens": self.prompt + self.answer,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }

    @property
    def timings(self) -> Document:
        return {
            "cache_n": self.cached,
            "prompt_n": self.prompt - self.cached,
            "prompt_ms": self.prompt_s * 1000,
            "predicted_n": self.answer,
            "predicted_ms": self.answer_s * 1000,
        }


@dataclass(frozen=True, slots=True)
class Documents:
    """Writes the documents of one answer, which share its id.

    Args:
        is_chat: A chat; else a text is completed.
    """

    model: str
    fingerprint: str
    created: int
    is_chat: bool
    number: str = field(default_factory=lambda: uuid.uuid4().hex)

    def event(
        self, delta: Delta, finish: str | None = None, probabilities: Sequence[Document] = ()
    ) -> Document:
        """One event of a stream."""
        said = {"delta": delta} if self.is_chat else {"text": delta.get("content", "")}
        return self._framed([_choice(said, finish, probabilities)], "chat.completion.chunk")

    def usage(self, counts: Counts) -> Document:
        """The last event of a stream, for those who ask for it."""
        return {
            **self._framed([], "chat.completion.chunk"),
            "usage": counts.usage,
            "timings": counts.timings,
        }

    def whole(
        self,
        deltas: Sequence[Delta],
        finish: str,
        counts: Counts,
        probabilities: Sequence[Document] = (),
    ) -> Document:
        """All of an answer that is not streamed."""
        message = _joined(deltas)
        said = {"message": message} if self.is_chat else {"text": message["content"]}
        return {
            **self._framed([_choice(said, finish, probabilities)], "chat.completion"),
            "usage": counts.usage,
            "timings": counts.timings,
        }

    def _framed(self, choices: Sequence[Document], kind: str) -> Document:
        return {
            "choices": choices,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "object": kind if self.is_chat else "text_completion",
            "id": f"{'chatcmpl' if self.is_chat else 'cmpl'}-{self.number}",
        }


def _choice(said: Document, finish: str | None, probabilities: Sequence[Document]) -> Document:
    told = {"logprobs": {"content": list(probabilities)}} if probabilities else {}
    return {"finish_reason": finish, "index": 0, **said, **told}


def _joined(deltas: Sequence[Delta]) -> Document:
    """Put a message together; one that only calls tools has no content, as in llama.cpp."""
    content = "".join(delta.get("content") or "" for delta in deltas)
    reasoning = "".join(delta.get("reasoning_content", "") for delta in deltas)
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    message: Document = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["content"] = content or None
        message["tool_calls"] = [{k: v for k, v in c.items() if k != "index"} for c in calls]
    return message
