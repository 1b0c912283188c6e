"""What a model file says of itself, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

Value: TypeAlias = int | float | str | bool | tuple[int, ...]
"""One value of a file's metadata; a list only where it is of whole numbers, one per layer."""

_TEMPLATE = "tokenizer.chat_template"
"""There may be more than one: the others have a dot and a name behind it."""


class Format(StrEnum):
    """How a model is stored, which decides what can run it."""

    GGUF = "gguf"
    MLX = "mlx"
    SAFETENSORS = "safetensors"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the file's table."""

    name: str
    shape: tuple[int, ...]
    """Innermost dimension first, as GGUF stores it."""

    type: str
    """Its storage type as llama.cpp prints it, lower case: q4_1, f32."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Header:
    """Sizes, hyper-parameters and the tensor table; no weights and no vocabulary."""

    architecture: str
    name: str | None
    quantization: str | None
    """What the file calls itself, as in Q4_K_M; None if it does not say."""

    file_bytes: int
    parameters: int
    layers: int
    context_trained: int | None
    embedding: int
    feed_forward: int | None
    """None where it differs from layer to layer or the file does not say."""

    heads: int
    """The most that a layer has; 0 for a model without attention."""

    heads_kv: tuple[int, ...]
    """Key and value heads of each layer."""

    key_dim: int
    value_dim: int
    vocabulary: int
    has_chat_template: bool
    tensors: Sequence[Tensor]
    metadata: Mapping[str, Value]
    """The file's scalars and its lists of one number per layer, under GGUF's keys, for what the
    fields above do not cover."""

    format: Format = Format.GGUF
    files: int = 1
    """How many files it is made of."""

    @property
    def weights_bytes(self) -> int:
        return sum(t.size_bytes for t in self.tensors)

    @property
    def takes_tools(self) -> bool | None:
        """Whether a chat template knows tools; None where the file has none that can be read here.

        A template is a program: that it never names tools is sure, that it does is a strong sign.
        """
        templates = [v for k, v in self.metadata.items() if k.startswith(_TEMPLATE)]
        return any("tool" in str(template) for template in templates) if templates else None
