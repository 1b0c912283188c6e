"""Where other programs keep models on this disk. Computing a path creates nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Find the folder that all programs share. Source: huggingface_hub, constants.py."""
    if cache := environment.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    home = environment.get("HF_HOME") or os.path.join(  # noqa: PTH118
        environment.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    return Path(home).expanduser() / "hub"


def repository_folder(cache: Path, name: str) -> Path:
    """Find where the shared cache has a repository. Source: huggingface_hub, file_download.py."""
    return cache / f"models--{name.replace('/', '--')}"


def snapshots(cache: Path, name: str) -> Sequence[Path]:
    """List the commits of a repository that the shared cache has something of, `main`'s first."""
    folder = repository_folder(cache, name)
    try:
        found = sorted((folder / "snapshots").iterdir(), reverse=True)
    except OSError:
        return []
    try:
        main = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return found
    return sorted(found, key=lambda snapshot: snapshot.name != main)


def lm_studio_folders() -> Sequence[Path]:
    """List where LM Studio keeps models, as owner/repo/file: today's place, and the one before.

    Source: lmstudio.ai/docs; a home that was moved is in ~/.lmstudio-home-pointer.
    """
    home = Path("~").expanduser()
    pointer = home / ".lmstudio-home-pointer"
    try:
        moved = [Path(pointer.read_text(encoding="utf-8").strip()) / "models"]
    except (OSError, ValueError):
        moved = []
    return [*moved, home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"]


def folders_of(name: str, environment: Mapping[str, str]) -> Sequence[Path]:
    """List the folders that programs keep a repository's files in, of those that are there."""
    places = [repository_folder(hub_cache(environment), name)]
    places += [root / name for root in lm_studio_folders()]
    return [place for place in places if place.is_dir()]


def repositories_here(environment: Mapping[str, str]) -> Sequence[str]:
    """List the repositories, as owner/name, that programs keep files of; by name."""
    cached = (d.name.removeprefix("models--") for d in _folders(hub_cache(environment)))
    names = {name.replace("--", "/", 1) for name in cached if "--" in name}
    for root in lm_studio_folders():
        names |= {f"{owner.name}/{d.name}" for owner in _folders(root) for d in _folders(owner)}
    return sorted(names)


def _folders(place: Path) -> Sequence[Path]:
    try:
        return [entry for entry in place.iterdir() if entry.is_dir()]
    except OSError:
        return []
