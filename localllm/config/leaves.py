"""The settings as a flat list of values, by path; and what differs between two of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from localllm.config.locating import Path
from localllm.config.settings import Settings
from localllm.config.tree import key_of
from localllm.user_profiles import UserProfile


class Effect(StrEnum):
    """What has to happen for a changed setting to count."""

    LIVE = "live"
    """Nothing: it counts at once, or for what is planned or started next."""

    MODEL = "model"
    """Models that it concerns are started anew, and take over once they are ready."""

    DAEMON = "daemon"
    """The daemon has to be started again."""


_DAEMON = frozenset({"port", "listen"})
_ENGINES = frozenset({("engine",), ("llama_server",), ("prefix", "enabled")})
_OF_PROFILES_LIVE = frozenset({"keep_alive", "variants", "check"})
_IN_PROFILE = 2
_NOTHING: tuple[object, ...] = (None, [], {})


def effect_of(path: Path) -> Effect:
    """Say what a change of a setting takes."""
    if path[0] in _DAEMON:
        return Effect.DAEMON
    if path[0] == "profiles" and len(path) > _IN_PROFILE:
        return Effect.LIVE if path[_IN_PROFILE] in _OF_PROFILES_LIVE else Effect.MODEL
    return Effect.MODEL if path in _ENGINES else Effect.LIVE


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that is another than it was; None is unset."""

    path: Path
    old: Any
    new: Any

    @property
    def key(self) -> str:
        return key_of(self.path)

    @property
    def effect(self) -> Effect:
        return effect_of(self.path)


def leaves_of(settings: Settings) -> Mapping[Path, Any]:
    """List every value, as TOML would have it; None is unset."""
    return dict(_leaves(settings, ()))


def _leaves(value: object, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _leaves(getattr(value, name), (*path, name))
    elif isinstance(value, Mapping) and _has_tables(value.values()):
        for name, one in value.items():
            yield from _leaves(one, (*path, name))
    elif isinstance(value, tuple) and _has_tables(value):
        for number, one in enumerate(value):
            yield from _leaves(one, (*path, number))
    else:
        yield path, as_toml(value)


def as_toml(value: object) -> Any:  # noqa: ANN401  # whatever it is
    """Give a value as TOML's reader would: with lists."""
    plain = msgspec.to_builtins(value)
    return [*plain] if isinstance(plain, tuple) else plain


def _has_tables(values: object) -> bool:
    return isinstance(next(iter(values), None), msgspec.Struct)  # type: ignore[call-overload]


def changes_between(old: Settings, new: Settings) -> Sequence[Change]:
    """List what differs, in the order in which a file has it.

    A profile that is not there says nothing; that a table is there in which nothing is said is no change.
    """
    names = dict.fromkeys([*new.profiles, *old.profiles])
    before, after = leaves_of(_with_profiles(old, names)), leaves_of(_with_profiles(new, names))
    paths = dict.fromkeys([*after, *before])
    changed = [Change(path, before.get(path), after.get(path)) for path in paths]
    return [one for one in changed if one.old != one.new and not _is_nothing(one)]


def _is_nothing(change: Change) -> bool:
    return change.old in _NOTHING and change.new in _NOTHING


def _with_profiles(settings: Settings, names: Iterable[str]) -> Settings:
    profiles = {name: settings.profiles.get(name, UserProfile()) for name in names}
    return msgspec.structs.replace(settings, profiles=profiles)
