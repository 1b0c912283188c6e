"""Where other programs keep models on this disk. Computing a path creates nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from localllm.store.ollama import OLLAMA_MANIFESTS, ollama_folders
from localllm.store.variables import expanded

_SHORTEST_COMMIT = 7
_MAX_REF_BYTES = 200


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Find the folder that all programs share. Source: huggingface_hub, constants.py."""
    cache = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE")
    return expanded(cache, environment) if cache else hub_home(environment) / "hub"


def hub_home(environment: Mapping[str, str]) -> Path:
    """Find where huggingface_hub keeps the cache, and the user's token beside it."""
    home = environment.get("HF_HOME") or os.path.join(  # noqa: PTH118
        environment.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    return expanded(home, environment)


def repository_folder(cache: Path, name: str) -> Path:
    """Find where the shared cache has a repository. Source: huggingface_hub, file_download.py."""
    return cache / f"models--{name.replace('/', '--')}"


def snapshots(cache: Path, name: str, revision: str | None = None) -> Sequence[Path]:
    """List the commits of a repository that the shared cache has something of, `main`'s first.

    Args:
        revision: A branch or tag as it was when it was fetched, or a commit or its beginning;
            None is any.
    """
    folder = repository_folder(cache, name)
    try:
        found = sorted((folder / "snapshots").iterdir(), reverse=True)
    except (OSError, ValueError):
        return []
    commit = _ref(folder / "refs", revision or "main")
    if revision is None:
        return sorted(found, key=lambda snapshot: snapshot.name != commit)
    return [snapshot for snapshot in found if snapshot.name == commit] or [
        snapshot
        for snapshot in found
        if len(revision) >= _SHORTEST_COMMIT and snapshot.name.startswith(revision)
    ]


def _ref(refs: Path, name: str) -> str | None:
    """The commit that a branch or tag meant when it was last fetched; None if it never was."""
    if ".." in name.split("/") or name.startswith("/"):
        return None
    try:
        with (refs / name).open(encoding="utf-8") as opened:
            return opened.read(_MAX_REF_BYTES).strip() or None
    except (OSError, ValueError):
        return None


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
    places += [
        root / manifests / "hf.co" / name
        for root in ollama_folders(environment)
        for manifests in OLLAMA_MANIFESTS
    ]
    return [place for place in places if os.path.isdir(place)]  # noqa: PTH112  # no PermissionError


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
