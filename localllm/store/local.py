"""Finds models on disk, and uses them where they are.

By catalog name, by path, in the Hugging Face cache, in LM Studio's and Ollama's folders.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from localllm.catalog.profile import Profile
from localllm.errors import ModelNotFound
from localllm.formats.header import Format
from localllm.store.access import endpoint_of
from localllm.store.contents import Contents, Variant, choose_projector, quantization_of
from localllm.store.embedded import find_embedded
from localllm.store.listing import missing_parts, set_of, sort_folder
from localllm.store.names import OLLAMA, RepositoryName, is_url, parse_repository_name, shown
from localllm.store.ollama import (
    OllamaModel,
    closed_folders,
    find_ollama,
    missing_blobs,
    ollama_folders,
    ollama_models,
)
from localllm.store.places import hub_cache, lm_studio_folders, snapshots
from localllm.store.stored import StoredModel

_NAMED = 5
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True, slots=True)
class _Found:
    """A model in one of the folders where it was looked for."""

    folder: Path
    variant: Variant
    contents: Contents


def find_model(
    wanted: str, profiles: Sequence[Profile], data: Path, environment: Mapping[str, str]
) -> StoredModel:
    """Find the file for what a user typed.

    Args:
        wanted: A catalog name, a path to a .gguf or a model's folder,
            [hf:]owner/repo[:quant][@revision], a hub's URL, or [ollama:]name[:tag].

    Raises:
        ModelNotFound: Nothing goes by this name, or its file is not on disk.
    """
    for profile in profiles:
        if profile.answers_to(wanted):
            return _of_profile(profile, data)
    if wanted.lower().startswith(OLLAMA):
        return _of_ollama(wanted[len(OLLAMA) :], environment)
    path = Path(os.path.expanduser(wanted))  # noqa: PTH111  # Path's own raises for ~nobody
    # a word alone is a name; os.path, since Path's own raises for a name that is too long
    is_path = wanted.endswith(".gguf") or ("/" in wanted and os.path.exists(path))  # noqa: PTH110
    if is_path and not is_url(wanted):
        return _of_path(path)
    name = parse_repository_name(wanted, endpoint_of(environment))
    if name is not None:
        return _of_repo(name, wanted, environment)
    if (model := find_ollama(wanted, environment)) is not None:
        return _stored_by_ollama(model)
    raise _unknown(wanted, profiles)


def _of_profile(profile: Profile, data: Path) -> StoredModel:
    file = None if profile.embedded is None else find_embedded(profile.embedded, data)
    if file is None:
        raise ModelNotFound(
            f"{profile.id} is known, but not on this disk.",
            why="its file is in none of the places where it is looked for",
            fix="localllm up" if not profile.repositories else f"localllm pull {profile.id}",
        )
    package = None if profile.embedded is None else f"pypi:{profile.embedded.package}"
    return StoredModel(profile.id, file, file.stat().st_size, package, profile.aliases)


def _of_path(path: Path) -> StoredModel:
    path = path.absolute()
    if os.path.isdir(path):  # noqa: PTH112  # pathlib's raise for a long name
        return _stored(_only_model(path), None)
    if not os.path.isfile(path):  # noqa: PTH113
        raise ModelNotFound(
            f"There is no file {path}.",
            why="the path was taken as it was typed",
            fix="give the path of a .gguf file, or a name: localllm plan lists them",
        )
    contents = sort_folder(path.parent, deep=False)
    return _stored(_Found(path.parent, set_of(path), contents), None)


def _only_model(folder: Path) -> _Found:
    contents = sort_folder(folder, deep=False)
    if len(contents.models) == 1:
        return _Found(folder, contents.models[0], contents)
    first = (shown(model.files[0].path) for model in contents.models[:_NAMED])
    names = ", ".join(first) or "none"
    raise ModelNotFound(
        f"{folder} does not hold exactly one model.",
        why=f"its .gguf files: {names}",
        fix="give the path of the file",
    )


def _of_repo(name: RepositoryName, wanted: str, environment: Mapping[str, str]) -> StoredModel:
    """Find a repository's model where programs keep it; the first place that has it is taken."""
    cache = hub_cache(environment)
    found = [
        _Found(folder, variant, contents)
        for folder in _folders(name, cache)
        if (contents := sort_folder(folder, deep=True)).models
        for variant in contents.models
        if _is_meant(variant, name)
    ]
    whole = [one for one in found if not one.variant.missing] or found
    if len({(Path(one.variant.name).name, one.variant.quantization) for one in whole}) == 1:
        return _stored(whole[0], name.repo)
    if not found and (model := _in_ollama(name, wanted, environment)) is not None:
        return _stored_by_ollama(model)
    files = sorted({Path(one.variant.files[0].path).name for one in found})
    known = ", ".join(shown(file) for file in files[:_NAMED]) or "none"
    typed = shown(wanted)
    raise ModelNotFound(
        f"{typed} is not one file in the Hugging Face cache.",
        why=f"{cache} has of it: {known}",
        fix=f"localllm pull hf:{name.repo}:QUANT" if found else f"localllm pull {typed}",
    )


def _folders(name: RepositoryName, cache: Path) -> Sequence[Path]:
    """Where a repository's files may be; LM Studio does not tell of which revision they are."""
    others = () if name.revision else lm_studio_folders()
    return [*snapshots(cache, name.repo, name.revision), *(root / name.repo for root in others)]


def _in_ollama(
    name: RepositoryName, wanted: str, environment: Mapping[str, str]
) -> OllamaModel | None:
    """Find what Ollama fetched of the repository, or has of a user of its own hub by that name."""
    if name.revision is not None or name.file is not None:
        return None
    quant = "" if name.quant is None else f":{name.quant}"
    names = [f"{host}/{name.repo}{quant}" for host in ("hf.co", "huggingface.co")]
    names += [] if is_url(wanted) or wanted.startswith("hf:") else [wanted]
    found = (find_ollama(one, environment) for one in names)
    return next((model for model in found if model is not None), None)


def _of_ollama(name: str, environment: Mapping[str, str]) -> StoredModel:
    model = find_ollama(name, environment)
    if model is not None:
        return _stored_by_ollama(model)
    closed = closed_folders(environment)
    if closed:
        raise ModelNotFound(
            f"Ollama's {shown(name)} may be here, but its folder is closed to you.",
            why=f"{closed[0]} belongs to another user: permission denied",
            fix="sudo usermod -aG ollama $USER, log in again, and: sudo chmod -R g+rX ~ollama",
        )
    known = ", ".join(one.name for one in ollama_models(environment)[:_NAMED]) or "none"
    looked = " and ".join(str(folder) for folder in ollama_folders(environment)[:2])
    raise ModelNotFound(
        f"Ollama has no {shown(name)} here.",
        why=f"looked into {looked}; models there: {known}",
        fix="ollama ls shows its names; set OLLAMA_MODELS if they are in another folder",
    )


def _stored_by_ollama(model: OllamaModel) -> StoredModel:
    if model.missing:
        raise missing_blobs(model)
    if model.adapters:
        raise ModelNotFound(
            f"Ollama's {model.name} is a model with an adapter, which is not put over it here.",
            why=f"the adapter is {model.adapters[0]}",
            fix="name model and adapter in a profile of config.toml: model and lora",
        )
    return StoredModel(
        model_id(Path(f"{model.names[0].rpartition('/')[2]}.gguf")),
        model.file,
        model.file.stat().st_size,
        model.repo,
        (*model.names, f"{OLLAMA}{model.name}"),
        projector=model.projector,
    )


def _stored(found: _Found, repo: str | None) -> StoredModel:
    variant = found.variant
    if variant.missing:
        raise missing_parts(found.folder, variant)
    projector = choose_projector(variant, found.contents)
    first = found.folder / variant.files[0].path
    is_gguf = variant.format is Format.GGUF
    return StoredModel(
        model_id(first if is_gguf else _named(found.folder, repo)),
        first if is_gguf else found.folder,
        variant.file_bytes,
        repo,
        projector=None if projector is None or not is_gguf else found.folder / projector.path,
        format=variant.format,
        parts=len(variant.files),
    )


def _named(folder: Path, repo: str | None) -> Path:
    """What a folder is called: a snapshot by its repository, since its own name is a commit."""
    name = folder.name if repo is None else repo.partition("/")[2]
    return Path(f"{name}.safetensors")  # an ending to take off: a name may have dots


def _is_meant(variant: Variant, name: RepositoryName) -> bool:
    if name.file is not None:
        return any(part.path == name.file for part in variant.files)
    return _has_quant(variant, name.quant)


def _has_quant(variant: Variant, quant: str | None) -> bool:
    """Tell whether a model's file or folder has the quantization as a whole word: BF16 is not F16."""
    if quant is None or quant.upper() == variant.quantization:
        return True
    if quantization_of(quant) == quant.upper():  # Q4_K_M is not UD-Q4_K_M
        return False
    word = rf"(?<![a-z0-9]){re.escape(quant.lower())}$"
    return any(re.search(word, part) for part in variant.name.lower().split("/"))


def model_id(file: Path) -> str:
    """Make an id out of a file's name: lower case, one path segment."""
    stem = _SHARD.sub("", file.stem).lower()
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "model"


def _unknown(wanted: str, profiles: Sequence[Profile]) -> ModelNotFound:
    names = [name for p in profiles for name in (p.id, *p.aliases)]
    near = get_close_matches(wanted.lower(), names, n=1)
    return ModelNotFound(
        f"No model '{shown(wanted)}'" + (f", did you mean {near[0]}?" if near else "."),
        why=f"the catalog has {', '.join(p.id for p in profiles)}; it is no path and no repository",
        fix="give a catalog name, the path of a .gguf file, hf:owner/repo:QUANT, or ollama:NAME",
    )
