"""Gathers all names that mean something: of what is served, of the user's profiles, of the catalog. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from localllm.api.views import ServeRequest
from localllm.catalog.hosted_names import HostedNames
from localllm.catalog.profile import Profile
from localllm.config.settings import Naming
from localllm.engines.base import Task
from localllm.planning.at_hand import AtHand
from localllm.store.names import is_a_path
from localllm.supervisor.resolving import WHATEVER, Known, Meaning
from localllm.user_profiles import Manner, UserProfile

Variants = Mapping[str, Manner]


@dataclass(frozen=True, slots=True)
class Shelf:
    """What can be asked for though nothing of it is served; read from disk."""

    catalog: Sequence[Profile] = ()
    profiles: Mapping[str, UserProfile] = field(default_factory=dict[str, UserProfile])
    naming: Naming = field(default_factory=Naming)
    hosted: HostedNames | None = None
    at_hand: Sequence[AtHand] = ()
    elsewhere: frozenset[str] = frozenset()
    """As in `Known`."""


@dataclass(frozen=True, slots=True)
class Served:
    """One model that is served."""

    model: str
    names: tuple[str, ...]
    """Which lead to it: its id, aliases, where it came from."""

    instances: tuple[str, ...] = ()
    profile: str | None = None
    """Of the user's own, with which it was asked for."""


def known_names(
    served: Sequence[Served], shelf: Shelf, current: str | None, meant: Mapping[Task, str]
) -> Known:
    """Put them in order: what is served goes before the user's profiles, these before the catalog.

    Args:
        current: The model that requests get that name nothing.
        meant: As in `Known`.
    """
    ids = _ids(served, shelf)
    variants = _variants(served, shelf, ids)
    whatever = Meaning(WHATEVER, variants=variants.get(current or "", {}))
    meanings = {
        WHATEVER: whatever,
        **dict(_of_shelf(shelf, variants)),
        **dict(_of_profiles(served, shelf, ids, variants)),
        **dict(_of_served(served, variants)),
    }
    return Known(
        meanings,
        [one.model for one in served],
        meant,
        tuple(_hosted(shelf)),
        shelf.elsewhere,
        tuple(_listed(meanings, shelf)),
        () if shelf.naming.hosted else tuple(pattern for pattern, _ in _patterns(shelf)),
    )


def _ids(served: Sequence[Served], shelf: Shelf) -> Mapping[str, str]:
    """By name in small letters, the id of its model."""
    known = [(name, p.id) for p in shelf.catalog for name in (p.id, *p.aliases)]
    ours = [(name, one.model) for one in served for name in one.names]
    return {name.lower(): model for name, model in (*known, *ours)}


def _variants(
    served: Sequence[Served], shelf: Shelf, ids: Mapping[str, str]
) -> Mapping[str, Variants]:
    """By model, what may come behind its name: as its makers say, and over it as the user does.

    Of two profiles for one model the one counts with which it is served.
    """
    found: dict[str, Variants] = {p.id: p.variants for p in shelf.catalog}
    in_use = {one.profile for one in served}
    for name in sorted(shelf.profiles, key=lambda name: name in in_use):
        profile = shelf.profiles[name]
        model = _model_of(name, profile, ids)
        found[model] = {**found.get(model, {}), **profile.variants}
    return found


def _model_of(name: str, profile: UserProfile, ids: Mapping[str, str]) -> str:
    """The id of a profile's model where that is known, else what the profile calls it."""
    called = profile.model or name
    return ids.get(called.lower(), called)


def _of_shelf(shelf: Shelf, variants: Mapping[str, Variants]) -> Iterator[tuple[str, Meaning]]:
    for one in shelf.at_hand:
        for alias in one.aliases:
            yield alias.lower(), Meaning(one.name, variants=variants.get(one.name, {}))
    for one in shelf.at_hand:
        yield one.name.lower(), Meaning(one.name, variants=variants.get(one.name, {}))
    for profile in shelf.catalog:
        for name in (profile.id, *profile.aliases):
            yield name, Meaning(profile.id, variants=variants[profile.id])


def _of_profiles(
    served: Sequence[Served],
    shelf: Shelf,
    ids: Mapping[str, str],
    variants: Mapping[str, Variants],
) -> Iterator[tuple[str, Meaning]]:
    """A profile's name leads to its model if that is served, in whatever way; else it loads it."""
    of_profile = {one.profile: one.model for one in served if one.profile is not None}
    models = {one.model for one in served}
    for name, profile in shelf.profiles.items():
        model = _model_of(name, profile, ids)
        its_own = {**variants[model], **profile.variants}
        if profile.model is not None and not is_a_path(profile.model):
            yield profile.model.lower(), Meaning(profile.model, variants=variants[model])
        serving = of_profile.get(name) or (model if model in models else None)
        wanted = ServeRequest(profile=name)
        manner = Manner(**msgspec.structs.asdict(profile.sampling))
        yield name.lower(), Meaning(serving or name, manner, its_own, wanted)


def _of_served(
    served: Sequence[Served], variants: Mapping[str, Variants]
) -> Iterator[tuple[str, Meaning]]:
    for one in served:
        its_own = variants.get(one.model, {})
        for name in one.names:
            yield name.lower(), Meaning(one.model, variants=its_own)
        for instance in one.instances:
            yield instance.lower(), Meaning(instance, variants=its_own)


def _hosted(shelf: Shelf) -> Iterator[tuple[str, str | Task]]:
    yield from ((name.lower(), meant) for name, meant in shelf.naming.map.items())
    if shelf.naming.hosted:
        yield from _patterns(shelf)


def _patterns(shelf: Shelf) -> Iterator[tuple[str, Task]]:
    if shelf.hosted is not None:
        for task in Task:
            yield from ((pattern, task) for pattern in getattr(shelf.hosted, task.value))


def _listed(meanings: Mapping[str, Meaning], shelf: Shelf) -> Iterator[str]:
    yield from meanings
    yield from (f"{name}:{end}" for name, m in meanings.items() for end in m.variants)
    yield from shelf.elsewhere
    yield from (name for name in shelf.naming.map if not set("*?[").intersection(name))
