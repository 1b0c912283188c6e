"""What requests to every worker have in common, by the names of OpenAI and of llama.cpp's server. Pure.

Fields that are unknown are nobody's business, and null means that nothing was said.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
ONE = (None, 1)
"""What `n` and `best_of` may be where there is one answer to a request."""


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class Fields(msgspec.Struct, kw_only=True):
    """How long an answer may be, how it is chosen, and how it is told."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_p: Share | None = None
    top_k: int | None = None
    min_p: Share | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    cache_prompt: bool | None = None
    ignore_eos: bool | None = None
    """llama.cpp's name: an answer is as long as it may be, whatever the model would say."""

    timings_per_token: bool | None = None
    """llama.cpp's name: each event of a stream says what the answer took so far."""

    n: int | None = None
    grammar: object = None
    json_schema: object = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: str | None = None

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        words = [self.stop] if isinstance(self.stop, str) else self.stop or ()
        return tuple(word for word in words if word)

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def template_settings(self) -> dict[str, Any]:
        """What a chat's template is told beside the messages."""
        effort = (
            {} if self.reasoning_effort is None else {"reasoning_effort": self.reasoning_effort}
        )
        return {**effort, **(self.chat_template_kwargs or {})}
