"""Where a model's files are, in which quantizations and how large."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from localllm.catalog.facts import NotNegative, Part, Positive


class FileFormat(StrEnum):
    """How a repository stores a model; the same words as formats.header.Format."""

    GGUF = "gguf"
    MLX = "mlx"
    SAFETENSORS = "safetensors"


class Variant(Part, frozen=True):
    """One quantization in one repository."""

    quant: str
    """As the repository spells it: Q4_K_M, UD-Q4_K_XL, MXFP4, 4bit."""

    files: tuple[str, ...] = ()
    """Paths in the repository, all of a split model's; none where the whole repository is meant."""

    size: Positive | None = None
    """Bytes of all files together; None is unknown."""

    size_within: Positive | None = None
    """Bytes by which `size` may be off, since its source rounds; None: it is exact."""

    kld: NotNegative | None = None
    """Mean Kullback-Leibler divergence of these very weights from the 16-bit ones."""

    kld_source: str | None = None
    native: bool = False
    """Whether the maker ships it, or trained the model for it: quantizing lost nothing."""


class Repository(Part, frozen=True):
    """One repository of the hub."""

    repo: Annotated[str, msgspec.Meta(pattern=r"^[\w.-]+/[\w.-]+$")]
    format: FileFormat
    variants: tuple[Variant, ...] = ()
    """None: the repository is known, its files are not."""

    projector: str | None = None
    """The file that reads images for every variant; None if there is none or it is unknown."""

    projector_size: Positive | None = None
    """Bytes; None is unknown."""

    projector_size_within: Positive | None = None
    """As `size_within`."""

    revision: str | None = None
    """The commit whose sizes these are; None if no hub was asked."""


class DraftKind(StrEnum):
    """How tokens are guessed ahead."""

    MTP = "mtp"
    EAGLE3 = "eagle3"
    MODEL = "model"


class Draft(Part, frozen=True):
    """A companion that guesses tokens ahead."""

    kind: DraftKind
    repo: str
    file: str | None = None
    """None where the whole repository is meant."""

    size: Positive | None = None
    """Bytes; None is unknown."""

    size_within: Positive | None = None
    """As a variant's."""
