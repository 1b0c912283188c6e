"""Finds models on disk: by catalog name, by path, in the Hugging Face cache, in LM Studio's folder."""

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
from localllm.store.contents import Contents, Variant, choose_projector
from localllm.store.embedded import find_embedded
from localllm.store.listing import missing_parts, set_of, sort_folder
from localllm.store.places import hub_cache, lm_studio_folders, snapshots
from localllm.store.stored import StoredModel

_REPO = re.compile(r"^(?:hf:)?(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(?::(?P<quant>[\w.-]+))?$")
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
        wanted: A catalog name, a path to a .gguf or a model's folder, or [hf:]owner/repo[:quant].

    Raises:
        ModelNotFound: Nothing goes by this name, or its file is not on disk.
    """
    for profile in profiles:
        if profile.answers_to(wanted):
            return _of_profile(profile, data)
    path = Path(os.path.expanduser(wanted))  # noqa: PTH111  # Path's own raises for ~nobody
    # a word alone is a name; os.path, since Path's own raises for a name that is too long
    if wanted.endswith(".gguf") or ("/" in wanted and os.path.exists(path)):  # noqa: PTH110
        return _of_path(path)
    repo = _REPO.match(wanted)
    if repo is not None:
        return _of_repo(repo, environment)
    raise _unknown(wanted, profiles)


def _of_profile(profile: Profile, data: Path) -> StoredModel:
    file = None if profile.embedded is None else find_embedded(profile.embedded, data)
    if file is None:
        raise ModelNotFound(
            f"{profile.id} is known, but not on this disk.",
            why="its file is in none of the places where it is looked for",
            fix="localllm up, without a model, fetches the embedded one",
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
    names = ", ".join(model.files[0].path for model in contents.models[:5]) or "none"
    raise ModelNotFound(
        f"{folder} does not hold exactly one model.",
        why=f"its .gguf files: {names}",
        fix="give the path of the file",
    )


def _of_repo(repo: re.Match[str], environment: Mapping[str, str]) -> StoredModel:
    """Find a repository's model where programs keep it; the first place that has it is taken."""
    name, cache = f"{repo['owner']}/{repo['name']}", hub_cache(environment)
    folders = [*snapshots(cache, name), *(root / name for root in lm_studio_folders())]
    found = [
        _Found(folder, variant, contents)
        for folder in folders
        if (contents := sort_folder(folder, deep=True)).models
        for variant in contents.models
        if _has_quant(variant, repo["quant"])
    ]
    whole = [one for one in found if not one.variant.missing] or found
    if len({(Path(one.variant.name).name, one.variant.quantization) for one in whole}) != 1:
        files = sorted({Path(one.variant.files[0].path).name for one in found})
        raise ModelNotFound(
            f"{repo.group()} is not one file in the Hugging Face cache.",
            why=f"{cache} has of it: {', '.join(files[:5]) or 'none'}",
            fix=f"hf download {name} FILE.gguf, then localllm up hf:{name}:QUANT",
        )
    return _stored(whole[0], name)


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


def _has_quant(variant: Variant, quant: str | None) -> bool:
    """Tell whether a model's file or folder has the quantization as a whole word: BF16 is not F16."""
    if quant is None or quant.upper() == variant.quantization:
        return True
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
        f"No model {wanted!r}" + (f", did you mean {near[0]}?" if near else "."),
        why=f"the catalog has {', '.join(p.id for p in profiles)}; it is no path and no repository",
        fix="give a catalog name, the path of a .gguf file, or hf:owner/repo:QUANT",
    )
