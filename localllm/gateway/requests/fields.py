"""The fields of requests that OpenAI and llama.cpp's server know, each with its type and bound.

Null means that nothing was said. Bounds are OpenAI's where it has one; else what keeps an engine
alive: llama.cpp allocates as many cells as `repeat_last_n` says, and a sampler that meets infinity
or NaN sorts by it.

Source: openai/openai-openapi; make_llama_cmpl_schema in llama.cpp's tools/server/server-schema.cpp.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

_INT_MAX = 2**31 - 1
_LONG_MAX = 2**63 - 1
MOST_PROBABILITIES = 20
MOST_BIASES = 1024

Name = Annotated[str, Meta(max_length=256)]
Count = Annotated[int, Meta(ge=1, le=_INT_MAX)]
Whole = Annotated[int, Meta(ge=0, le=_INT_MAX)]
OrMinusOne = Annotated[int, Meta(ge=-1, le=_INT_MAX)]
Token = Annotated[int, Meta(ge=0, le=_INT_MAX)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Level = Annotated[float, Meta(ge=0, le=100)]
Factor = Annotated[float, Meta(gt=0, le=100)]
Finite = Annotated[float, Meta(ge=-10_000, le=10_000)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Seed = Annotated[int, Meta(ge=-_LONG_MAX - 1, le=_LONG_MAX)]
Probabilities = Annotated[int, Meta(ge=0, le=MOST_PROBABILITIES)]
Drafted = Annotated[int, Meta(ge=0, le=64)]
Word = Annotated[str, Meta(max_length=64)]
Words = Annotated[list[Word], Meta(max_length=64)]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class LoraScale(msgspec.Struct):
    id: Whole
    scale: Finite


class NamedSchema(msgspec.Struct):
    schema: dict[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None


class Format(msgspec.Struct):
    type: str
    json_schema: NamedSchema | None = None
    schema: dict[str, Any] | None = None
    """Where llama.cpp's server looks for it beside OpenAI's place."""


class OpenAi(msgspec.Struct, kw_only=True):
    """What OpenAI's API has for chats and texts alike."""

    model: Name | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    n: Count | None = None
    temperature: Level | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Seed | None = None
    stop: str | list[str] | None = None
    logit_bias: Annotated[dict[Name, Bias | bool], Meta(max_length=MOST_BIASES)] | None = None
    response_format: Format | None = None
    user: str | None = None


class Sampling(OpenAi, kw_only=True):
    """How llama.cpp and others choose tokens, beside what OpenAI has for it."""

    top_k: OrMinusOne | None = None
    min_p: Share | None = None
    typical_p: Level | None = None
    top_n_sigma: Finite | None = None
    xtc_probability: Share | None = None
    xtc_threshold: Share | None = None
    dynatemp_range: Level | None = None
    dynatemp_exponent: Level | None = None
    repeat_penalty: Factor | None = None
    repetition_penalty: Factor | None = None
    repeat_last_n: OrMinusOne | None = None
    dry_multiplier: Level | None = None
    dry_base: Level | None = None
    dry_allowed_length: Whole | None = None
    dry_penalty_last_n: OrMinusOne | None = None
    dry_sequence_breakers: Annotated[list[Word], Meta(max_length=16)] | None = None
    """Each is compared with every token of the vocabulary."""

    mirostat: Annotated[int, Meta(ge=0, le=2)] | None = None
    mirostat_tau: Level | None = None
    mirostat_eta: Level | None = None
    adaptive_target: Annotated[float, Meta(ge=-10_000, le=1)] | None = None
    adaptive_decay: Annotated[float, Meta(ge=0, le=0.99)] | None = None
    samplers: Annotated[list[Word], Meta(max_length=32)] | Word | None = None
    min_keep: Whole | None = None
    ignore_eos: bool | None = None
    n_probs: Probabilities | None = None
    prompt_logprobs: Probabilities | None = None
    post_sampling_probs: bool | None = None


class Generation(Sampling, kw_only=True):
    """All that a request for text may say of how it is made and told."""

    max_completion_tokens: Count | None = None
    n_predict: OrMinusOne | None = None
    n_cmpl: Count | None = None
    """llama.cpp's own name for n, which goes before it."""

    n_keep: Whole | None = None
    n_indent: Whole | None = None
    t_max_predict_ms: OrMinusOne | None = None
    t_max_prompt_ms: OrMinusOne | None = None
    cache_prompt: bool | None = None
    return_tokens: bool | None = None
    return_progress: bool | None = None
    timings_per_token: bool | None = None
    verbose: bool | None = None
    response_fields: Words | None = None
    lora: Annotated[list[LoraScale], Meta(max_length=16)] | None = None
    json_schema: dict[str, Any] | None = None
    draft_most: Drafted | None = msgspec.field(name="speculative.n_max", default=None)
    draft_least: Drafted | None = msgspec.field(name="speculative.n_min", default=None)
    draft_share: Share | None = msgspec.field(name="speculative.p_min", default=None)

    @property
    def answers(self) -> int:
        return self.n_cmpl or self.n or 1

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)
