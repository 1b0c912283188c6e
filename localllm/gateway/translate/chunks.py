"""What engines stream for a chat completion: the fields that a translation needs. Pure.

Source: chat_completion_chunk.py in openai-python; `timings` and `prompt_progress` are llama.cpp's
(tools/server), `reasoning` is vLLM's name for what others call `reasoning_content`.
"""

from __future__ import annotations

import msgspec


class FunctionPart(msgspec.Struct, frozen=True):
    name: str | None = None
    """In the first fragment alone."""

    arguments: str | None = None


class CallPart(msgspec.Struct, frozen=True):
    """A piece of one tool call; pieces with the same index belong together."""

    index: int = 0
    id: str | None = None
    function: FunctionPart = FunctionPart()


class Delta(msgspec.Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: tuple[CallPart, ...] | None = None

    @property
    def thought(self) -> str:
        return self.reasoning_content or self.reasoning or ""


class Choice(msgspec.Struct, frozen=True):
    index: int = 0
    delta: Delta = Delta()
    finish_reason: str | None = None


class PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None


class AnswerDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: AnswerDetails | None = None

    @property
    def cached_tokens(self) -> int:
        details = self.prompt_tokens_details
        return (details.cached_tokens or 0) if details else 0

    @property
    def reasoning_tokens(self) -> int:
        details = self.completion_tokens_details
        return (details.reasoning_tokens or 0) if details else 0


class Timings(msgspec.Struct, frozen=True):
    """Of the answer so far; llama.cpp sends them with every chunk where `timings_per_token` is set."""

    cache_n: int = 0
    prompt_n: int = 0
    """Of the prompt, tokens that were read; those of `cache_n` were not."""

    predicted_n: int = 0
    prompt_ms: float = 0.0


class Progress(msgspec.Struct, frozen=True):
    """How far a prompt has been read; sent where `return_progress` is set."""

    total: int
    cache: int = 0
    processed: int = 0
    """Those of the cache among them."""


class EngineFailure(msgspec.Struct, frozen=True):
    """An error in the middle of a stream."""

    message: str = ""
    type: str | None = None
    code: int | str | None = None
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None
    """The last two are llama.cpp's, where a prompt is too long."""


class Chunk(msgspec.Struct, frozen=True):
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    timings: Timings | None = None
    prompt_progress: Progress | None = None
    error: EngineFailure | None = None


_decode = msgspec.json.Decoder(Chunk).decode


def parse_chunk(data: bytes) -> Chunk:
    """Read the data of one event.

    Raises:
        msgspec.DecodeError: It is no chunk.
    """
    return _decode(data)
