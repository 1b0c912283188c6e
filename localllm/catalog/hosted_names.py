"""Reads what hosted models are called, for agents that ask for nothing else."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import msgspec

from localllm.catalog.facts import Part
from localllm.errors import ConfigError

FORMAT = 1


class HostedNames(Part, frozen=True):
    """Patterns of names in small letters, with * and ? as in a shell, by what is asked of them."""

    format: int
    write: tuple[str, ...]
    embed: tuple[str, ...]
    rerank: tuple[str, ...]
    checked: date | None = None
    sources: tuple[str, ...] = ()


def read_hosted_names(folder: Path) -> HostedNames:
    """Read the table that is shipped.

    Raises:
        ConfigError: It is not what this version reads.
    """
    file = folder / "hosted_names.toml"
    try:
        names = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), HostedNames)
        if names.format != FORMAT:
            raise ValueError(f"it has format {names.format}, this version reads {FORMAT}")  # noqa: TRY301  # told like the others
    except (msgspec.ValidationError, ValueError, OSError) as error:
        raise ConfigError(f"{file} is broken.", why=str(error), fix="reinstall localllm") from error
    return names
