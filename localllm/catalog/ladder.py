"""How good each quantization is, from profiles/quantizations.toml. Figures with a source only."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from localllm.catalog.facts import NotNegative, Part
from localllm.errors import ConfigError

_PREFIX = re.compile(r"^(?:UD|I1)-", re.IGNORECASE)
_SUFFIX = re.compile(r"(?:-DWQ|_MOE)$", re.IGNORECASE)
NATIVE = 0
"""Place of what the maker ships: before every rung."""


class Advice(StrEnum):
    """What to do with a quantization that fits."""

    PREFER = "prefer"
    IF_ROOM = "if_room"
    WARN = "warn"
    ON_REQUEST = "on_request"


class Rung(Part, frozen=True):
    """One quantization, and those that are as good."""

    name: str
    advice: Advice
    reason: str
    also: tuple[str, ...] = ()
    bits: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Per weight, scales and larger tensors counted in; None is unknown."""

    kld: NotNegative | None = None
    """Mean Kullback-Leibler divergence of Llama-3-8B from f16; None: nobody measured it."""


class Ladder(Part, frozen=True):
    """All rungs, the best first."""

    format: Literal[1]
    rungs: tuple[Rung, ...]

    def rung(self, quant: str) -> Rung | None:
        """Find the rung of a name as repositories write it: UD-Q4_K_XL, i1-Q4_K_M, MXFP4_MOE, 4bit.

        None: the name is unknown, and so is its quality.
        """
        wanted = _plain(quant)
        return next((r for r in self.rungs if wanted in map(str.upper, (r.name, *r.also))), None)

    def place(self, quant: str, *, native: bool = False) -> int | None:
        """Tell where on the ladder it is: lower is better, NATIVE is best; None if unknown."""
        if native:
            return NATIVE
        found = self.rung(quant)
        return None if found is None else 1 + self.rungs.index(found)

    def names(self) -> Iterator[str]:
        for rung in self.rungs:
            yield from (rung.name, *rung.also)


def _plain(quant: str) -> str:
    return _SUFFIX.sub("", _PREFIX.sub("", quant)).upper()


def read_ladder(folder: Path) -> Ladder:
    """Read `quantizations.toml` in the folder of profiles.

    Raises:
        ConfigError: It is not there, or not what this version reads.
    """
    file = folder / "quantizations.toml"
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Ladder)
    except (msgspec.ValidationError, ValueError, OSError) as error:
        fix = "reinstall localllm, or correct the file if you have changed it"
        raise ConfigError(f"{file} cannot be read.", why=str(error), fix=fix) from error


def estimated_size(parameters: int, rung: Rung) -> int | None:
    """Estimate the bytes of a model's weights: parameters x bits per weight / 8.

    An estimate: a model with a large vocabulary, or with layers that are kept in more bits, is
    larger. None if the bits are unknown.

    Raises:
        ValueError: `parameters` is not positive.
    """
    if parameters <= 0:
        raise ValueError(f"{parameters} parameters")
    return None if rung.bits is None else round(parameters * rung.bits / 8)
