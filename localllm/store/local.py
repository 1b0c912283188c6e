"""Finds models on disk: by catalog name, by path, or in the Hugging Face cache."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from localllm.catalog.profile import Profile
from localllm.errors import ModelNotFound
from localllm.store.embedded import find_embedded
from localllm.store.stored import StoredModel

_REPO = re.compile(r"^(?:hf:)?(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(?::(?P<quant>[\w.-]+))?$")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


def find_model(
    wanted: str, profiles: Sequence[Profile], data: Path, environment: Mapping[str, str]
) -> StoredModel:
    """Find the file for what a user typed.

    Args:
        wanted: A catalog name, a path to a .gguf, or [hf:]owner/repo[:quant].

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
        return _of_repo(repo, hub_cache(environment))
    raise _unknown(wanted, profiles)


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Find the folder that all programs share. Source: huggingface_hub, constants.py."""
    if cache := environment.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    home = environment.get("HF_HOME") or os.path.join(  # noqa: PTH118
        environment.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    return Path(home).expanduser() / "hub"


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
    file = path.absolute()
    if os.path.isdir(file):  # noqa: PTH112  # pathlib's raise for a long name
        file = _only_gguf(file)
    if not os.path.isfile(file):  # noqa: PTH113
        raise ModelNotFound(
            f"There is no file {file}.",
            why="the path was taken as it was typed",
            fix="give the path of a .gguf file, or a name: localllm plan lists them",
        )
    return StoredModel(model_id(file), file, file.stat().st_size, None)


def _only_gguf(folder: Path) -> Path:
    files = [f for f in sorted(folder.glob("*.gguf")) if "mmproj" not in f.name.lower()]
    if len(files) == 1:
        return files[0]
    names = ", ".join(f.name for f in files[:5]) or "none"
    raise ModelNotFound(
        f"{folder} does not hold exactly one model.",
        why=f"its .gguf files: {names}",
        fix="give the path of the file",
    )


def _of_repo(repo: re.Match[str], cache: Path) -> StoredModel:
    folder = cache / f"models--{repo['owner']}--{repo['name']}" / "snapshots"
    files = [
        f
        for f in sorted(folder.glob("*/**/*.gguf"))
        if "mmproj" not in f.name.lower() and _has_quant(f.stem, repo["quant"]) and f.is_file()
    ]
    name = f"{repo['owner']}/{repo['name']}"
    if len({f.name for f in files}) != 1:
        there = ", ".join(sorted({f.name for f in files})[:5]) or "none"
        raise ModelNotFound(
            f"{repo.group()} is not one file in the Hugging Face cache.",
            why=f"{cache} has of it: {there}",
            fix=f"hf download {name} FILE.gguf, then localllm up hf:{name}:QUANT",
        )
    file = files[-1]
    return StoredModel(model_id(file), file, file.stat().st_size, name)


def _has_quant(stem: str, quant: str | None) -> bool:
    """Tell whether a name ends in the quantization as a whole word: BF16 is not F16."""
    if quant is None:
        return True
    return re.search(rf"(?<![a-z0-9]){re.escape(quant.lower())}$", stem.lower()) is not None


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
