"""What the user says of one model: the profiles of config.toml, and the manners of names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from localllm.units import DURATION

Count = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
KeepAlive = Annotated[
    str,
    msgspec.Meta(
        pattern=DURATION,
        description="a time, as in 90, 90s, 15m, 2h or 1d, or forever",
        examples=["15m"],
    ),
]

Use = Literal["chat", "code", "embed", "vision"]


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request means that says nothing itself; None is the model's own default."""

    temperature: Annotated[float, msgspec.Meta(ge=0, examples=[0.7])] | None = None
    """How freely words are chosen; 0: always the likeliest."""

    top_p: Annotated[float, msgspec.Meta(ge=0, le=1, examples=[0.8])] | None = None
    """Of the likeliest words, as many as have so much of the likelihood together."""

    top_k: Annotated[int, msgspec.Meta(ge=0, examples=[20])] | None = None
    """Of the likeliest words, so many."""

    min_p: Annotated[float, msgspec.Meta(ge=0, le=1, examples=[0.05])] | None = None
    """Words that are at least so likely, beside the likeliest."""


class Manner(Sampling, frozen=True, forbid_unknown_fields=True):
    """What a name may carry behind its colon, as in qwen3.6-27b:fast.

    It holds for what a request leaves open; None leaves that open, too.
    """

    max_tokens: Annotated[int, msgspec.Meta(ge=1, examples=[4096])] | None = None
    """Of an answer."""

    thinking: Annotated[bool, msgspec.Meta(examples=[False])] | None = None
    """Whether it thinks first, for models whose template has a switch for it."""

    reasoning_effort: (
        Annotated[Literal["minimal", "low", "medium", "high"], msgspec.Meta(examples=["low"])]
        | None
    ) = None
    """How long it thinks, for models whose template knows such words."""

    context: Annotated[int, msgspec.Meta(ge=1, examples=[32768])] | None = None
    """Tokens that who answers must have; one that is served with fewer refuses."""


AS_IT_IS = Manner()
"""Leaves everything open."""

Ending = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9._-]*\Z",
        description="small letters, digits, and . _ - after the first",
    ),
]
"""What comes behind a name's colon; in small letters, since names are compared so."""


class Lora(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An adapter that changes what a model says, without being part of its file."""

    file: Annotated[str, msgspec.Meta(examples=["~/adapters/mine.gguf"])]
    """A GGUF."""

    scale: float = 1.0
    """How much it counts."""


class UserProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model and how to serve it, under a name of the user's own; None leaves it to the planner."""

    model: Annotated[str, msgspec.Meta(examples=["qwen3-coder-30b-a3b"])] | None = None
    """A name of the catalog, hf:owner/repo:QUANT, or a path."""

    use: Annotated[Use, msgspec.Meta(examples=["code"])] | None = None
    """What it is for; by itself chat."""

    context: Annotated[int, msgspec.Meta(ge=1, examples=[65536])] | None = None
    """Tokens; by itself as many as fit."""

    parallel: Annotated[int, msgspec.Meta(ge=1, le=64, examples=[2])] | None = None
    """Requests at once."""

    quant: Annotated[str, msgspec.Meta(examples=["Q4_K_M"])] | None = None
    """This quantization; by itself what is here, or the best."""

    kv_type: Annotated[Literal["f16", "q8_0", "q4_0"], msgspec.Meta(examples=["q8_0"])] | None = (
        None
    )
    """How the KV cache is stored."""

    engine: Annotated[str, msgspec.Meta(examples=["llama-server"])] | None = None
    """By name, as `localllm engine list` has it."""

    keep_alive: KeepAlive | None = None
    """How long it stays in memory while nobody uses it."""

    long_context: Annotated[int, msgspec.Meta(ge=1, examples=[131072])] | None = None
    """Tokens of a second instance, beside the one with `context`, for prompts that are too long
    for that; its weights are in memory twice."""

    sampling: Sampling = Sampling()
    """What a request means that says nothing itself; unset is the model's own default."""

    draft: Annotated[str, msgspec.Meta(examples=["mtp"])] | None = None
    """What guesses tokens ahead: a smaller model of the same family, named as models are, or "mtp"
    for the blocks that some models have for it."""

    draft_tokens: Annotated[int, msgspec.Meta(ge=1, le=64, examples=[5])] | None = None
    """Guessed at a time."""

    lora: tuple[Lora, ...] = ()
    """Adapters that change what it says, without being part of its file."""

    pooling: (
        Annotated[Literal["mean", "cls", "last", "rank"], msgspec.Meta(examples=["mean"])] | None
    ) = None
    """How an embedding model makes one vector of a text, where its file does not say."""

    engine_args: Annotated[tuple[str, ...], msgspec.Meta(examples=[["--seed", "7"]])] = ()
    """Flags for an engine with a command line, word by word. They come last; no plan knows them."""

    variants: Mapping[Ending, Manner] = msgspec.field(default_factory=dict[str, Manner])
    """By what comes behind the name's colon; they go for the profile's name and its model's."""

    check: Literal["off", "quick", "full"] = "off"
    """Whether it is examined before it takes over from what is served; one that is broken does not."""

    def __post_init__(self) -> None:
        if self.draft_tokens is not None and self.draft is None:
            raise ValueError("draft_tokens is of no use without a draft: name one, too")
