"""Finds which model on this disk a name means. Decides nothing about it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from localllm.errors import ModelNotFound
from localllm.planning.desk import Desk
from localllm.store.held import models_of
from localllm.store.inventory import OnDisk, printable
from localllm.store.places import hub_cache
from localllm.store.revisions import cached_repository, read_cached

_LEAST_OF_A_COMMIT = 7
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Meant:
    """A model, and from where."""

    model: OnDisk
    only: str | None = None
    """The one commit that was named, where others have the same contents; None: wherever it is."""

    @property
    def name(self) -> str:
        behind = "" if self.only is None else f"@{printable(self.only)}"
        return f"{self.model.name}{behind}"


def find_on_disk(name: str, models: Sequence[OnDisk], desk: Desk) -> Meant:
    """Find the model that a user named: as `ls` does, by a catalog name, a repository, or a path.

    Raises:
        ModelNotFound: None, or several.
    """
    exact = [model for model in models if model.name == name]
    if len(exact) == 1:
        return Meant(exact[0])
    called = _called(name, models, desk)
    base, _, commit = name.rpartition("@")
    if base and not called and len(commit) >= _LEAST_OF_A_COMMIT:
        return _of_commit(name, base, commit, models, desk)
    return Meant(_only(name, called, models))


def _called(name: str, models: Sequence[OnDisk], desk: Desk) -> Sequence[OnDisk]:
    """All that a name may mean; what it means alone comes before what it means among others."""
    wanted = _spellings(name, desk)
    named = [m for m in models if wanted & {n.casefold() for n in m.names}]
    alone = [m for m in named if m.name.casefold() in wanted]
    if alone or named:
        return alone or named
    path = os.path.abspath(os.path.expanduser(name))  # noqa: PTH100, PTH111  # a name may be anything
    return [
        m
        for m in models
        if (m.repo is not None and f"hf:{m.repo}".casefold() in wanted)
        or path in {str(m.path), *map(str, m.files[: m.parts])}
    ]


def _spellings(name: str, desk: Desk) -> set[str]:
    """How the inventory may have written it: an alias by its id, a repository with `hf:`."""
    base, _, quant = name.rpartition(":")
    found = {name, f"hf:{name}"}
    for profile in desk.catalog():
        if profile.answers_to(name):
            found.add(profile.id)
        elif base and profile.answers_to(base):
            found.add(f"{profile.id}:{quant}")
    return {one.casefold() for one in found}


def _of_commit(name: str, base: str, commit: str, models: Sequence[OnDisk], desk: Desk) -> Meant:
    """Find a model in one revision: an entry of its own, or what has the same contents elsewhere."""
    bare = [m for m in models if _is_of(m, base, desk)]
    own = [m for m in bare if "@" in m.name and (m.commit or "").startswith(commit)]
    if own:
        return Meant(_only(name, own, models))
    found: list[Meant] = []
    for model in bare:
        found += [Meant(model, at) for at in _commits(model, desk) if at.startswith(commit)]
    if len({one.only for one in found}) == 1 and len(found) == 1:
        return found[0]
    return Meant(_only(name, [one.model for one in found], models))


def _is_of(model: OnDisk, base: str, desk: Desk) -> bool:
    wanted = _spellings(base, desk)
    names = {n.rpartition("@")[0] or n for n in model.names}
    repo = set() if model.repo is None else {f"hf:{model.repo}"}
    return bool(wanted & {n.casefold() for n in names | repo})


def _commits(model: OnDisk, desk: Desk) -> Iterable[str]:
    """The revisions that hold the same contents."""
    if model.where != "huggingface" or model.repo is None:
        return []
    cached = read_cached(cached_repository(hub_cache(desk.environment), model.repo))
    held = (one for revision in cached.revisions for one in models_of(revision))
    return [one.revision.commit for one in held if one.weights == model.weights]


def _only(name: str, found: Sequence[OnDisk], models: Sequence[OnDisk]) -> OnDisk:
    if len(found) == 1:
        return found[0]
    shown = printable(name)
    if found:
        raise ModelNotFound(
            f"{shown} means {len(found)} models on this disk.",
            why=f"there are {_listed(found)}",
            fix="give one of these names",
        )
    raise ModelNotFound(
        f"{shown} is not on this disk.",
        why=f"there are {_listed(models)}" if models else "there are no models",
        fix="localllm ls lists what is here",
    )


def _listed(models: Sequence[OnDisk]) -> str:
    names = [model.name for model in models[:_NAMED]]
    more = len(models) - len(names)
    return ", ".join(names) + (f", and {more} more" if more else "")
