"""Lists every model on this disk once: here, in LM Studio's folder, in Ollama's, in a package.

A model is one quantization of one repository. Where several revisions hold the same contents, it
is listed once; where they differ, the one that is whole and newest comes first, and the others
are entries of their own, with their commit. Opens no file but config.json, and never raises for
what is on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from localllm.api.store_views import Where
from localllm.catalog.profile import Profile
from localllm.catalog.repositories import Repository
from localllm.formats.header import Format
from localllm.store.contents import quantization_of
from localllm.store.embedded import find_embedded
from localllm.store.held import Held, models_of
from localllm.store.names import OLLAMA
from localllm.store.ollama import OllamaModel, ollama_models
from localllm.store.places import hub_cache, lm_studio_folders
from localllm.store.revisions import (
    Cached,
    cached_repositories,
    folders_in,
    read_cached,
    read_folder,
)

_HUGGING_FACE: Final = "huggingface"
_LM_STUDIO: Final = "lmstudio"
_OLLAMA: Final = "ollama"
_PACKAGE: Final = "package"


@dataclass(frozen=True, slots=True)
class OnDisk:
    """One model."""

    name: str
    """What serves it, fit for a terminal; no other entry has it."""

    quant: str | None
    format: Format
    size_bytes: int
    """Of all its files."""

    where: Where
    path: Path
    """The first file; the folder, for safetensors."""

    repo: str | None
    """As in owner/name; None for what comes from no repository, or nobody knows which."""

    commit: str | None
    files: tuple[Path, ...]
    """By their names, not where links lead: weights first, a projector or a tokenizer behind them."""

    last_used: float | None
    """When its weights were last read or written, in Unix seconds; None is unknown."""

    missing: tuple[str, ...] = ()
    """Files that it should have and that are not here."""

    parts: int = 1
    """How many of its files, the first ones, are its weights."""

    weights: tuple[str, ...] = ()
    """What the contents of its weights are called in the shared cache; empty elsewhere."""

    is_use_noted: bool = True
    """Whether the disk notes when files are read; else `last_used` is when they came."""

    profile: str | None = None
    """The catalog's id, where it knows the model."""

    names: tuple[str, ...] = ()
    """All that mean it, `name` among them, the shortest first; some mean others as well."""


_Known = Mapping[str, tuple[Profile, Repository]]


def read_inventory(
    catalog: Sequence[Profile], data: Path, environment: Mapping[str, str]
) -> Sequence[OnDisk]:
    """List what is on this disk, by name."""
    known = {r.repo: (p, r) for p in catalog for r in p.repositories}
    found = [
        *_in_packages(catalog, data),
        *_in_cache(hub_cache(environment), known),
        *_in_lm_studio(known),
        *(_of_ollama(model) for model in ollama_models(environment)),
    ]
    return sorted(_named_apart(found), key=lambda model: model.name)


def printable(text: str) -> str:
    """Make a text from a disk fit for a terminal: what controls it, or is no text, becomes `?`."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _in_packages(catalog: Sequence[Profile], data: Path) -> Iterator[OnDisk]:
    for profile in catalog:
        file = None if profile.embedded is None else find_embedded(profile.embedded, data)
        if file is None:
            continue
        quant = quantization_of(file.name)
        names = (profile.id, *(f"{profile.id}:{q}" for q in [quant] if q), str(file))
        yield replace(_plain(_PACKAGE, file, (file,)), quant=quant, names=names, profile=profile.id)


def _in_cache(cache: Path, known: _Known) -> Iterator[OnDisk]:
    noted = _is_use_noted(cache)
    places = {
        repo: place for place, repo in enumerate(known)
    }  # of two, the catalog's first is served
    repositories = cached_repositories(cache)
    for repository in sorted(repositories, key=lambda r: places.get(r.name, len(places))):
        for held, is_first in apart(read_cached(repository)):
            one = _of_repository(held, repository.name, _HUGGING_FACE, known)
            names = one.names if is_first else _with_commit(one, held)
            yield replace(
                one,
                commit=held.revision.commit,
                weights=held.weights,
                is_use_noted=noted,
                names=names,
            )


def apart(cached: Cached) -> Sequence[tuple[Held, bool]]:
    """Tell a repository's models apart by their contents; and of each whether it is the first choice.

    Which is the one that is whole, of the revision that comes first.
    """
    held = [model for revision in cached.revisions for model in models_of(revision)]
    found: list[tuple[Held, bool]] = []
    for model in sorted(held, key=lambda model: not model.is_whole):
        alike = [one for one, _ in found if one.kind == model.kind]
        if any(one.weights == model.weights for one, _ in found):
            continue
        if not model.is_whole and any({*model.weights} <= {*one.weights} for one in alike):
            continue
        found.append((model, not alike))
    return found


def _in_lm_studio(known: _Known) -> Iterator[OnDisk]:
    for root in dict.fromkeys(lm_studio_folders()):
        noted = _is_use_noted(root)
        for owner in folders_in(root):
            for folder in folders_in(owner):
                for held in models_of(read_folder(folder)):
                    repo = f"{owner.name}/{folder.name}"
                    one = _of_repository(held, repo, _LM_STUDIO, known)
                    yield replace(one, is_use_noted=noted)


def _of_repository(held: Held, repo: str, where: Where, known: _Known) -> OnDisk:
    variant, folder = held.variant, held.revision.folder
    profile = _profile(repo, held, known)
    return OnDisk(
        name="",
        quant=_listed_quant(repo, held, known) or variant.quantization,
        format=variant.format,
        size_bytes=held.size_bytes,
        where=where,
        path=held.path,
        repo=repo,
        commit=None,
        files=tuple(folder / path for path in held.paths),
        last_used=held.last_used or None,
        missing=variant.missing,
        parts=len(variant.files),
        profile=profile,
        names=_names(repo, held, profile),
    )


def _profile(repo: str, held: Held, known: _Known) -> str | None:
    """The catalog's id, where it lists this quantization of this repository."""
    profile, listed = known.get(repo, (None, None))
    if profile is None or listed is None:
        return None
    quant = held.variant.quantization
    quants = {v.quant.upper() for v in listed.variants}
    is_listed = held.variant.format is not Format.GGUF or quant is None or quant.upper() in quants
    return profile.id if is_listed else None


def _listed_quant(repo: str, held: Held, known: _Known) -> str | None:
    """What the catalog calls a quantization that no file's name tells, as an MLX repository's."""
    _, listed = known.get(repo, (None, None))
    if listed is None or held.variant.quantization is not None or len(listed.variants) != 1:
        return None
    return listed.variants[0].quant


def _names(repo: str, held: Held, profile: str | None) -> tuple[str, ...]:
    """All that may mean it, the shortest first."""
    quant, stem = held.variant.quantization, PurePosixPath(held.variant.name).name
    behind = [quant] if quant else []
    names = [] if profile is None else [profile, *(f"{profile}:{q}" for q in behind)]
    names += [f"hf:{repo}:{q}" for q in behind] or [f"hf:{repo}"]
    names += [f"hf:{repo}:{stem}"] if held.variant.format is Format.GGUF else []
    return (*names, str(held.path))


def _with_commit(model: OnDisk, held: Held) -> tuple[str, ...]:
    names = [name for name in model.names if name.startswith("hf:")]
    return (*(f"{name}@{held.revision.commit}" for name in names), str(held.path))


def _of_ollama(model: OllamaModel) -> OnDisk:
    projectors = () if model.projector is None else (model.projector,)
    one = _plain(_OLLAMA, model.file, (model.file, *projectors))
    return replace(
        one,
        quant=quantization_of(model.name),
        size_bytes=model.size_bytes,
        repo=model.repo,
        missing=model.missing,
        names=(f"{OLLAMA}{model.name}", *(f"{OLLAMA}{n}" for n in model.names), str(model.file)),
    )


def _plain(where: Where, file: Path, files: tuple[Path, ...]) -> OnDisk:
    """A GGUF file that lies somewhere."""
    try:
        found = file.stat()
    except OSError:
        return OnDisk("", None, Format.GGUF, 0, where, file, None, None, files, None)
    used = max(found.st_atime, found.st_mtime)
    noted = _is_use_noted(file)
    one = OnDisk("", None, Format.GGUF, found.st_size, where, file, None, None, files, used)
    return replace(one, is_use_noted=noted)


def _named_apart(found: Sequence[OnDisk]) -> Iterator[OnDisk]:
    """Give each the shortest name that means it alone. What comes first is served by a shared one.

    The package's goes before all others of its quantization; see `Desk.offers`.
    """
    kinds: dict[str, set[tuple[str, str | None]]] = {}
    for model in found:
        for name in model.names[:1] if model.where == _PACKAGE else model.names:
            kinds.setdefault(name, set()).add(_kind(model))
    taken: set[str] = set()
    for model in found:
        free = (n for n in model.names if n not in taken and len(kinds.get(n, ())) <= 1)
        yield replace(model, name=printable(next(free, str(model.path))))
        taken.update(model.names)


def _kind(model: OnDisk) -> tuple[str, str | None]:
    """What a search for a name tells apart: see `find_model`."""
    return (model.path.name if model.format is Format.GGUF else model.format, model.quant)


def _is_use_noted(place: Path) -> bool:
    try:
        return not os.statvfs(place).f_flag & os.ST_NOATIME
    except (OSError, AttributeError):  # macOS has no such flag, and notes it
        return True
