"""Removes what is empty in a repository of the shared cache, and what only spoke of it.

Nothing while a program fetches from the repository: huggingface_hub makes the folder of a revision
before it fetches, and links into it hours later.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from localllm.store.clearing import Room, is_locked
from localllm.store.revisions import folders_in, read_refs
from localllm.store.shared_cache import CachedRepository


def clear_empty(repository: CachedRepository, room: Room) -> None:
    """Remove revisions without files, then the repository itself, if nothing is left of it.

    Hold no lock of the repository meanwhile: it would be taken for another program's.
    """
    if is_fetched_now(repository):
        return
    top = repository.folder / "snapshots"
    for revision in folders_in(top):
        if revision.is_symlink():
            continue
        if not _has_files(revision):
            _forget(repository, room, revision.name)
        _clear_folders(revision, room)
    for name in ("blobs", "trees", ".no_exist"):
        room.remove_empty(repository.folder / name)
    if not _names_in(top) | _names_in(repository.blobs):
        _forget_all(repository, room)
    _clear_folders(repository.folder / "refs", room)
    if _names_in(repository.folder) == {"snapshots"}:
        # not before: a folder of a repository without `snapshots` is a broken one to the hub
        room.remove_empty(top)
    Room(room.folder.parent).remove_empty(repository.folder)


def is_fetched_now(repository: CachedRepository) -> bool:
    """Tell whether a program holds the lock of any contents; what it has already may be part of it."""
    locks = repository.lock("any").parent
    return any(is_locked(locks / name) for name in _names_in(locks) if name.endswith(".lock"))


def _has_files(folder: Path) -> bool:
    """Links to folders count; so does what cannot be read."""
    unread: list[OSError] = []
    walked = os.walk(folder, onerror=unread.append)
    found = any(
        files or any(Path(at, f).is_symlink() for f in below) for at, below, files in walked
    )
    return found or bool(unread)


def _forget(repository: CachedRepository, room: Room, commit: str) -> None:
    """Remove what only speaks of a commit: refs, its listing, the notes of what it does not have.

    Before its folder goes: refs to what is no more make a repository a broken one to the hub.
    """
    for ref, means in read_refs(repository).items():
        if means == commit:
            room.unlink(repository.folder / "refs" / ref)
    room.unlink(repository.folder / "trees" / f"{commit}.json")
    _clear_notes(repository.folder / ".no_exist" / commit, room)


def _forget_all(repository: CachedRepository, room: Room) -> None:
    """Remove all that only speaks of what a repository had."""
    for ref in read_refs(repository):
        room.unlink(repository.folder / "refs" / ref)
    for listing in _names_in(repository.folder / "trees"):
        if listing.endswith(".json"):
            room.unlink(repository.folder / "trees" / listing)
    _clear_notes(repository.folder / ".no_exist", room)
    room.remove_empty(repository.folder / "trees")


def _clear_notes(folder: Path, room: Room) -> None:
    """Remove the empty files by which the hub knows what is not there."""
    for above, _, files in os.walk(folder):
        for name in files:
            note = Path(above, name)
            with suppress(OSError):  # another tool may have removed it meanwhile
                if not note.is_symlink() and note.stat().st_size == 0:
                    room.unlink(note)
    _clear_folders(folder, room)


def _clear_folders(folder: Path, room: Room) -> None:
    for above, _, _ in os.walk(folder, topdown=False):
        room.remove_empty(Path(above))


def _names_in(folder: Path) -> set[str]:
    """Empty too where there is no such folder; what cannot be read is not empty."""
    try:
        return set(os.listdir(folder))  # noqa: PTH208
    except FileNotFoundError:
        return set()
    except OSError:
        return {"?"}
