"""Where each value came from, in the order in which one goes over the other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from localllm.config.leaves import leaves_of
from localllm.config.locating import Path
from localllm.config.reading import Loaded
from localllm.config.tree import REFUSED, key_of

OF_ALL = {"engine": "engine", "keep_alive": "supervision.keep_alive"}
"""Of a profile, what the settings may say of every model, and which does; keep_alive is of those that a
request has loaded. The variable of such a setting goes over profiles."""

_OF_PROFILE = 3
"""Names in the path of a profile's own key."""


class Source(StrEnum):
    """Who has said a value; whoever stands first goes over the rest."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    PROFILE = "profile"
    CONFIG = "config"
    CATALOG = "catalog"
    PLANNER = "planner"
    """Nobody has said it: it follows from the model and the machine."""

    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Value:
    """One setting, what it is, and who has said so."""

    key: str
    value: Any
    """None is unset."""

    source: Source
    where: str | None = None
    """The variable, the option, or the place in a file."""


def values_of(loaded: Loaded) -> Sequence[Value]:
    """List all settings; of profiles what they say, of a remote that is not set nothing."""
    found = []
    for path, value in leaves_of(loaded.settings).items():
        one = _value(path, value, loaded)
        is_profile = path[0] == "profiles"
        if path != REFUSED and not (is_profile and one.source is Source.DEFAULT):
            found.append(one)
    return found


def _value(path: Path, value: object, loaded: Loaded) -> Value:
    key = key_of(path)
    if key in loaded.flags:
        return Value(key, value, Source.FLAG, f"--{key.replace('_', '-')}")
    variable = loaded.variables.get(_said_by(path, value))
    if variable is not None:
        return Value(key, value, Source.ENVIRONMENT, variable)
    if path in loaded.places.keys:
        return Value(key, value, Source.CONFIG, place_in(loaded, path))
    return Value(key, value, Source.DEFAULT)


def _said_by(path: Path, value: object) -> str:
    """The setting whose variable has the say: a profile's own has none."""
    if path[0] == "profiles" and len(path) == _OF_PROFILE and value is not None:
        return OF_ALL.get(str(path[-1]), "")
    return key_of(path)


def place_in(loaded: Loaded, path: Path) -> str:
    """Say where in the file a key stands."""
    place = loaded.places.of_key(path)
    return str(loaded.file) if place is None else f"{loaded.file}:{place.line}"
