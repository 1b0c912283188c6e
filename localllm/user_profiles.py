"""What the user says of one model: the profiles of config.toml, and the manners of names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from localllm.units import DURATION

Count = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
KeepAlive = Annotated[str, msgspec.Meta(pattern=DURATION)]

Use = Literal["chat", "code", "embed", "vision"]


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request means that says nothing itself; None is the model's own default."""

    temperature: NotNegative | None = None
    top_p: Share | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    min_p: Share | None = None


class Manner(Sampling, frozen=True, forbid_unknown_fields=True):
    """What a name may carry behind its colon, as in qwen3.6-27b:fast.

    It holds for what a request leaves open; None leaves that open, too.
    """

    max_tokens: Count | None = None
    """Of an answer."""

    thinking: bool | None = None
    """Whether it thinks first, for models whose template has a switch for it."""

    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = None
    """How long it thinks, for models whose template knows such words."""

    context: Count | None = None
    """Tokens that who answers must have; one that is served with fewer refuses."""


AS_IT_IS = Manner()
"""Leaves everything open."""

Ending = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]*\Z")]
"""What comes behind a name's colon; in small letters, since names are compared so."""


class Lora(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An adapter that changes what a model says, without being part of its file."""

    file: str
    """A GGUF."""

    scale: float = 1.0
    """How much it counts."""


class UserProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model and how to serve it, under a name of the user's own; None leaves it to the planner."""

    model: str | None = None
    use: Use | None = None
    context: Count | None = None
    """Tokens."""

    parallel: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    quant: str | None = None
    kv_type: Literal["f16", "q8_0", "q4_0"] | None = None
    engine: str | None = None
    keep_alive: KeepAlive | None = None
    long_context: Count | None = None
    """Tokens of a second instance, beside the one with `context`, for prompts that are too long
    for that; its weights are in memory twice."""

    sampling: Sampling = Sampling()
    draft: str | None = None
    """What guesses tokens ahead: a smaller model of the same family, named as models are, or "mtp"
    for the blocks that some models have for it."""

    draft_tokens: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    """Guessed at a time."""

    lora: tuple[Lora, ...] = ()
    pooling: Literal["mean", "cls", "last", "rank"] | None = None
    """How an embedding model makes one vector of a text, where its file does not say."""

    engine_args: tuple[str, ...] = ()
    """Flags for an engine with a command line, word by word. They come last; no plan knows them."""

    variants: Mapping[Ending, Manner] = msgspec.field(default_factory=dict[str, Manner])
    """By what comes behind the name's colon; they go for the profile's name and its model's."""

    def __post_init__(self) -> None:
        if self.draft_tokens is not None and self.draft is None:
            raise ValueError("draft_tokens is of no use without a draft: name one, too")
