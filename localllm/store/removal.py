"""Removes a model from the shared cache: its names first, then the contents that nothing else needs.

Ended at any moment it leaves a cache that huggingface_hub and we read: a name without contents
never comes about, only contents without a name, which `gc` finds. Touches nothing outside.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from localllm.store.clearing import Room, locked, room_of, written_now
from localllm.store.emptying import clear_empty, is_fetched_now
from localllm.store.held import additions_of, models_of
from localllm.store.revisions import (
    Cached,
    Name,
    Revision,
    freed_bytes,
    read_blobs,
    read_cached,
)
from localllm.store.shared_cache import CachedRepository

_SMALL = {".json", ".jsonl", ".jinja", ".txt", ".md", ".model", ".tiktoken", ".yaml", ".yml", ".py"}
_SMALL |= {".imatrix", ".dat", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".pdf", ""}
"""Endings of what only goes along with a model, and goes with the last one."""

_SMALL_BYTES = 256 << 20
_SHARED = re.compile(r"[0-9a-f]{64}")
Sweep = Callable[[Path, Path], int]
"""Frees contents in the store that repositories share, if no repository needs them any more."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes."""

    names: tuple[Path, ...]
    """In revisions; the weights' first, so that nothing looks whole that is not."""

    blobs: tuple[str, ...]
    """Then these contents."""

    freed_bytes: int
    kept: tuple[str, ...] = ()
    """Paths in its revisions that stay, since they are of something that we do not know."""


def plan_removal(cached: Cached, weights: tuple[str, ...], only: str | None = None) -> Removal:
    """Find what goes with a model.

    Args:
        cached: The repository as it is.
        weights: What the model's contents are called; see `Held`.
        only: The one commit that it goes from; None: all that have the same contents.
    """
    held = [model for revision in cached.revisions for model in models_of(revision)]
    ours, kinds = {*weights}, {h.kind for h in held if h.weights == weights}
    going = [
        h
        for h in held
        if only in (None, h.revision.commit)
        and (h.weights == weights or (h.kind in kinds and not h.is_whole and ours >= {*h.weights}))
    ]
    staying = [h for h in held if h not in going]
    gone = {(h.revision.commit, file.path) for h in going for file in h.variant.files}
    gone |= {(h.revision.commit, path) for h in going for path in h.again}
    bare = ours.difference(*(h.weights for h in staying))
    gone |= {
        (r.commit, n.path) for r, n in cached.names if n.blob in bare and only in (None, r.commit)
    }
    ordered = [(r, n) for r, n in cached.names if (r.commit, n.path) in gone]
    kept: list[str] = []
    for commit in dict.fromkeys(commit for commit, _ in gone):
        if all(h.revision.commit != commit for h in staying):
            revision = next(r for r in cached.revisions if r.commit == commit)
            left = [n for n in revision.names if (commit, n.path) not in gone]
            unknown = _unknown(revision, left)
            kept += unknown
            ordered += [] if unknown else [(revision, name) for name in left]
    return _removal(cached, ordered, kept)


def remove(
    repository: CachedRepository, weights: tuple[str, ...], only: str | None, sweep: Sweep
) -> int:
    """Remove a model, and return the bytes that it freed; see `plan_removal`.

    Raises:
        InUse: A program fetches from the repository now. It may be at another file of this model,
            of which it has some already, and holds no lock of those.
        LocalLLMError: A path leads out of the cache, or the system refuses.
    """
    room = room_of(repository)
    room.check([repository.blobs / "any", repository.folder / "snapshots" / "any"])
    if is_fetched_now(repository):
        raise written_now(repository)
    first = plan_removal(read_cached(repository), weights, only)
    with locked(repository, first.blobs):
        # what came between is seen, since who writes these contents waits for the locks
        plan = plan_removal(read_cached(repository), weights, only)
        blobs = [blob for blob in plan.blobs if blob in first.blobs]
        room.check([*plan.names, *(repository.blob(blob) for blob in blobs)])
        freed = sum(room.unlink(name) for name in plan.names)
        freed += sum(remove_blob(repository, room, blob, sweep) for blob in blobs)
    clear_empty(repository, room)
    return freed


def shared_behind(repository: CachedRepository, blob: str) -> Path | None:
    """Find the contents in the store that repositories share, where a blob is only a link there."""
    link = repository.blob(blob)
    try:
        target = os.readlink(link)  # noqa: PTH115  # the text, not the place
    except OSError:
        return None
    behind = Path(os.path.normpath(link.parent / target))
    is_entry = behind.parent.parent == repository.cache / "blobs" and _SHARED.fullmatch(behind.name)
    return behind if is_entry else None


def _unknown(revision: Revision, left: Sequence[Name]) -> Sequence[str]:
    """Of what is left of a revision without models, find what does not only go along with them."""
    additions = additions_of(revision)
    unknown = [n.path for n in left if n.path not in additions and not _is_small(n)]
    return unknown if revision.is_whole else ["what cannot be read", *unknown]


def _is_small(name: Name) -> bool:
    file = PurePosixPath(name.path)
    is_known = name.is_file and _ending(file) in _SMALL
    return name.is_broken or (is_known and name.size_bytes <= _SMALL_BYTES)


def _ending(file: PurePosixPath) -> str:
    return "" if file.name.startswith(".") else file.suffix.lower()


def _removal(
    cached: Cached, going: Sequence[tuple[Revision, Name]], kept: Sequence[str]
) -> Removal:
    gone = {(r.commit, n.path) for r, n in going}
    needed = {n.blob for r, n in cached.names if (r.commit, n.path) not in gone}
    blobs = {n.blob for _, n in going if n.blob is not None} - needed if cached.is_whole else set()
    there = read_blobs(cached.repository)
    files = sum(freed_bytes(n.stat) for _, n in going if n.blob is None and n.stat and n.is_file)
    return Removal(
        tuple(revision.folder / name.path for revision, name in going),
        tuple(sorted(blob for blob in blobs if blob in there)),
        files + sum(frees(cached.repository, blob, there[blob]) for blob in blobs & there.keys()),
        tuple(kept),
    )


def frees(repository: CachedRepository, blob: str, found: os.stat_result) -> int:
    """Tell what removing contents frees, at most: other repositories may share them."""
    shared = shared_behind(repository, blob)
    if shared is None:
        return freed_bytes(found)
    try:
        return freed_bytes(shared.lstat())
    except OSError:
        return 0


def remove_blob(repository: CachedRepository, room: Room, blob: str, sweep: Sweep) -> int:
    """Remove contents, and return the bytes that this freed."""
    shared = shared_behind(repository, blob)
    freed = room.unlink(repository.blob(blob))
    return freed if shared is None else sweep(shared, repository.cache)
