"""Reads the profiles of models, profiles/models/*.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from localllm.errors import ConfigError

FORMAT = 1


class Embedded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model file inside a package of the Python registry."""

    package: str
    file: str
    """Path inside the installed package's folder."""

    size: int
    """Bytes of the file."""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model that we know by name."""

    format: int
    id: str
    name: str
    license: str
    aliases: tuple[str, ...] = ()
    uses: tuple[str, ...] = ("chat",)
    embedded: Embedded | None = None

    def answers_to(self, name: str) -> bool:
        wanted = name.lower()
        return wanted == self.id or wanted in self.aliases


def read_profiles(folder: Path) -> Sequence[Profile]:
    """Read all profiles, sorted by id.

    Raises:
        ConfigError: One of them is not what this version reads; it names file and field.
    """
    return tuple(_read(file) for file in sorted((folder / "models").glob("*.toml")))


def _read(file: Path) -> Profile:
    fix = "reinstall localllm, or correct the file if you have changed it"
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
        if written.get("format", FORMAT) != FORMAT:  # before its fields, which may be new
            why = f"it has format {written['format']}, this version reads {FORMAT}"
            raise ConfigError(f"The profile {file} cannot be read.", why=why, fix=fix)
        return msgspec.convert(written, Profile)
    except (msgspec.ValidationError, ValueError, OSError) as error:
        raise ConfigError(f"The profile {file} is broken.", why=str(error), fix=fix) from error


def stand_in(profiles: Sequence[Profile]) -> Embedded:
    """Find the model that needs no hub.

    Raises:
        ConfigError: No profile has one.
    """
    for profile in profiles:
        if profile.embedded is not None:
            return profile.embedded
    raise ConfigError(
        "No profile has an embedded model.",
        why="profiles/models is incomplete",
        fix="reinstall localllm",
    )
