"""What is on this disk that can be served by its name alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localllm.catalog.profile import Profile
from localllm.catalog.repositories import Repository
from localllm.formats.header import Format
from localllm.store.contents import Variant
from localllm.store.embedded import find_embedded
from localllm.store.listing import sort_folder
from localllm.store.names import OLLAMA
from localllm.store.ollama import ollama_models
from localllm.store.places import hub_cache, lm_studio_folders, repositories_here, snapshots

_SERVED_ALONE = frozenset({Format.GGUF, Format.MLX})
"""A repository of safetensors that the catalog does not know may be of anything."""

_MOST_REPOSITORIES = 300
"""That are looked into; a cache with more is not a user's list of models."""


@dataclass(frozen=True, slots=True)
class AtHand:
    """A model on this disk."""

    name: str
    """It is loaded by this: the catalog's id, else owner/repo:quant or ollama:name:tag."""

    repo: str | None = None
    """None for the one that travels in a package, and for those of Ollama's own hub."""

    aliases: tuple[str, ...] = ()
    """What it is called, too, where nothing else has that name."""


def at_hand(
    catalog: Sequence[Profile], data: Path, environment: Mapping[str, str]
) -> Sequence[AtHand]:
    """List each model once, those of the catalog by their id; no file of weights is opened."""
    known = {r.repo: (p, r) for p in catalog for r in p.repositories}
    found = {e.name: e for e in _embedded(catalog, data)}
    for repo in repositories_here(environment)[:_MOST_REPOSITORIES]:
        for variant in _whole(repo, environment):
            name = _name(repo, variant, known)
            if name is not None:
                found.setdefault(name, AtHand(name, repo))
    for model in ollama_models(environment)[:_MOST_REPOSITORIES]:
        if not model.missing and not model.adapters:
            name = f"{OLLAMA}{model.name}"
            found.setdefault(name, AtHand(name, model.repo, model.names))
    return tuple(found[name] for name in sorted(found))


def _embedded(catalog: Sequence[Profile], data: Path) -> Iterator[AtHand]:
    for profile in catalog:
        if profile.embedded is not None and find_embedded(profile.embedded, data) is not None:
            yield AtHand(profile.id)


def _whole(repo: str, environment: Mapping[str, str]) -> Iterator[Variant]:
    """The models of a repository that all parts are here of."""
    folders = [*snapshots(hub_cache(environment), repo), *(r / repo for r in lm_studio_folders())]
    for folder in folders:
        yield from (v for v in sort_folder(folder, deep=True).models if not v.missing)


def _name(
    repo: str, variant: Variant, known: Mapping[str, tuple[Profile, Repository]]
) -> str | None:
    profile, listed = known.get(repo, (None, None))
    quant = variant.quantization
    if profile is None or listed is None:
        behind = "" if quant is None else f":{quant}"
        return f"{repo}{behind}" if variant.format in _SERVED_ALONE else None
    quants = {v.quant.upper() for v in listed.variants}
    in_catalog = variant.format is not Format.GGUF or quant is None or quant.upper() in quants
    return profile.id if in_catalog else f"{repo}:{quant}"
