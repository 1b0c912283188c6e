"""Reads the profiles of models: those shipped in profiles/models, and a user's own beside them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import msgspec

from localllm.catalog.facts import (
    Ability,
    HyperParameters,
    Manner,
    Part,
    Positive,
    Sampling,
    Score,
    Use,
)
from localllm.catalog.repositories import Draft, Repository, Variant
from localllm.errors import ConfigError
from localllm.user_profiles import Ending

FORMAT = 1
_NEW_WORD = re.compile(r"unknown field `(?P<field>[^`]*)`|Invalid enum value '(?P<value>[^']*)'")


class Embedded(Part, frozen=True):
    """A model file inside a package of the Python registry."""

    package: str
    file: str
    """Path inside the installed package's folder."""

    size: int
    """Bytes of the file."""


class Profile(Part, frozen=True):
    """One model that we know by name. What is None or absent is unknown, never guessed."""

    format: int
    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    """One path segment, lower case."""

    name: str
    license: str
    """As the hub spells it: apache-2.0, mit, llama3.3."""

    aliases: tuple[Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._:-]*$")], ...] = ()
    family: str | None = None
    uses: tuple[Use, ...] = (Use.CHAT,)
    abilities: tuple[Ability, ...] = ()
    parameters: Positive | None = None
    active_parameters: Positive | None = None
    """Per token; None for a dense model, or where it is unknown."""

    context: Positive | None = None
    """Tokens it was trained for."""

    check_tokens: Positive | None = None
    """Tokens of the interview's CHECK_TEXT with this model's tokenizer, special ones left out.
    Measured with a real engine, and again whenever that text changes."""

    checked: date | None = None
    """When its sources were last read."""

    sources: tuple[str, ...] = ()
    sampling: Sampling | None = None
    variants: Mapping[Ending, Manner] = {}
    """By what comes behind a colon in its name, as in qwen3-8b:no-think."""

    gguf: HyperParameters | None = None
    repositories: tuple[Repository, ...] = ()
    scores: tuple[Score, ...] = ()
    draft: Draft | None = None
    embedded: Embedded | None = None

    def answers_to(self, name: str) -> bool:
        wanted = name.lower()
        return wanted == self.id or wanted in self.aliases


def read_profiles(folder: Path, *more_folders: Path) -> Sequence[Profile]:
    """Read the profiles in each folder's `models`, sorted by id.

    Args:
        more_folders: A user's own, the last one wins: its profile replaces one of the same id
            whole, and takes an alias over from any other profile.

    Raises:
        ConfigError: One of them is not what this version reads; it names file and field.
    """
    known: dict[str, Profile] = {}
    for each in (folder, *more_folders):
        own = [_read(file) for file in sorted((each / "models").glob("*.toml"))]
        taken = {name for profile in own for name in (profile.id, *profile.aliases)}
        known = {id_: _without(profile, taken) for id_, profile in known.items()}
        known |= {profile.id: profile for profile in own}
    return tuple(known[id_] for id_ in sorted(known))


def _without(profile: Profile, taken: set[str]) -> Profile:
    left = tuple(alias for alias in profile.aliases if alias not in taken)
    return msgspec.structs.replace(profile, aliases=left)


def _read(file: Path) -> Profile:
    fix = "reinstall localllm, or correct the file if you have changed it"
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
        if written.get("format", FORMAT) != FORMAT:  # before its fields, which may be new
            why = f"it has format {written['format']}, this version reads {FORMAT}"
            raise ConfigError(f"The profile {file} cannot be read.", why=why, fix=fix)
        return msgspec.convert(written, Profile)
    except (msgspec.ValidationError, ValueError, OSError) as error:
        why = f"{error}{_nearest(str(error))}"
        raise ConfigError(f"The profile {file} is broken.", why=why, fix=fix) from error


def _nearest(complaint: str) -> str:
    """Name the word that was meant, if one that is known comes near."""
    found = _NEW_WORD.search(complaint)
    if found is None:
        return ""
    known = _fields() if found["field"] is not None else (*Use, *Ability)
    near = get_close_matches(found["field"] or found["value"] or "", set(known), n=1)
    return f", did you mean `{near[0]}`?" if near else ""


def _fields() -> Iterator[str]:
    for part in (
        Profile,
        Embedded,
        Sampling,
        Manner,
        HyperParameters,
        Repository,
        Variant,
        Score,
        Draft,
    ):
        yield from part.__struct_fields__


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
