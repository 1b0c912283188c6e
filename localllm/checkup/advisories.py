"""Reads profiles/advisories.toml: versions of engines and libraries with known holes, and who says so."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from localllm.errors import ConfigError

FORMAT = 1
_LLAMA_CPP = "llama.cpp"
_CARRIES_LLAMA_CPP = frozenset({"xllamacpp", "llama-server"})


class Advisory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One hole."""

    id: str
    """CVE-..., GHSA-..., PYSEC-..., or what the source calls it."""

    of: str
    """The package, or llama.cpp, whose numbers are its builds'."""

    since: str | None = None
    """The first version that has it; None: all before the fix."""

    fixed: str | None = None
    """The first version that has it no more; None: none yet."""

    last: str | None = None
    """The last version that is said to have it, where nobody says which has it no more."""

    effect: str
    """What it lets whom do, one clause."""

    kept_out: str | None = None
    """Why nobody gets at it through localllm; None: one does, or we do not know."""

    source: str
    """Its address."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    as_of: str
    advisories: tuple[Advisory, ...]


@dataclass(frozen=True, slots=True)
class Installation:
    """Something that is here, and may have holes."""

    name: str
    version: str
    update: str
    """The command that brings a newer one."""


def read_advisories(profiles: Path) -> tuple[Advisory, ...]:
    """Read all of them.

    Raises:
        ConfigError: The file is not what this version reads.
    """
    file = profiles / "advisories.toml"
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), _File).advisories
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(
            f"{file} cannot be read.", why=str(error), fix="reinstall localllm"
        ) from error


def concern(advisory: Advisory, one: Installation) -> bool:
    """Tell whether an installation has the hole."""
    if advisory.of == _LLAMA_CPP:
        build = build_of(one)
        return build is not None and _within(advisory, (build,))
    same = _normal(advisory.of) == _normal(one.name)
    return same and _within(advisory, _numbers(one.version))


def build_of(one: Installation) -> int | None:
    """Tell which build of llama.cpp something carries: b11146, or the last number of 2026.10.11549."""
    if one.name not in _CARRIES_LLAMA_CPP:
        return None
    found = re.search(r"(?:^b|\.)(\d{4,6})(?:$|\D)", one.version)
    return None if found is None else int(found[1])


def _within(advisory: Advisory, version: tuple[int, ...]) -> bool:
    is_old = advisory.fixed is None or version < _numbers(advisory.fixed)
    is_old = is_old and (advisory.last is None or version <= _numbers(advisory.last))
    is_new = advisory.since is None or version >= _numbers(advisory.since)
    return is_old and is_new


def _numbers(version: str) -> tuple[int, ...]:
    """Compare what is released: a `.post1` or an `rc1` counts as its release."""
    return tuple(
        int(number) for number in re.findall(r"\d+", re.split(r"[a-z+]", version.lstrip("b"))[0])
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
