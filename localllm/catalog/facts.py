"""What makers and files say of a model: uses, abilities, sampling, hyper-parameters, scores."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from localllm import user_profiles

Positive: TypeAlias = Annotated[int, msgspec.Meta(gt=0)]
NotNegative: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]

HyperParameter: TypeAlias = int | float | bool | str | tuple[int, ...]
"""One value under GGUF's keys; a list has one number per layer."""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a profile. A field that this version does not know is an error."""


class Use(StrEnum):
    """What a model is asked for."""

    CHAT = "chat"
    CODE = "code"
    EMBED = "embed"
    VISION = "vision"


class Ability(StrEnum):
    """What a model was trained to do beside writing text."""

    TOOLS = "tools"
    REASONING = "reasoning"
    VISION = "vision"
    AUDIO = "audio"


class Sampling(Part, frozen=True):
    """What a model's makers recommend; None where they say nothing."""

    source: str
    temperature: NotNegative | None = None
    top_p: Share | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    min_p: Share | None = None


class Manner(user_profiles.Manner, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A way of answering that a model's makers describe, for a name to carry."""

    source: str


class HyperParameters(Part, frozen=True):
    """What a GGUF header of the model would say, so that it can be planned before one is read."""

    architecture: str
    """llama.cpp's name. Source: src/llama-arch.cpp."""

    keys: Mapping[str, HyperParameter] = {}
    """Under GGUF's own keys without the architecture's prefix; one without a source is absent."""

    unknown: tuple[str, ...] = ()
    """Keys that memory depends on and that no source gave: a plan has to wait for the header."""


class Score(Part, frozen=True):
    """What a model's makers publish; nothing measured here, nothing made up."""

    benchmark: str
    value: float
    source: str
