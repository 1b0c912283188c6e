"""Removes a leftover, if it still is one when its lock is held."""

from __future__ import annotations

import os
from pathlib import Path

from localllm.errors import InUse
from localllm.store.clearing import Room, is_locked, locked, room_of
from localllm.store.emptying import clear_empty
from localllm.store.leftovers import DRAFT_MARK, Leftover
from localllm.store.removal import Sweep, remove_blob
from localllm.store.revisions import read_cached
from localllm.store.shared_cache import CachedRepository
from localllm.transfer.part import JOURNAL_ENDING, PART_ENDING


def discard(leftover: Leftover, cache: Path, sweep: Sweep) -> int:
    """Remove it, and return the bytes that this freed.

    Raises:
        InUse: A program writes it now.
        LocalLLMError: It leads out of the cache, or the system refuses.
    """
    if leftover.repository is None:
        return _of_others(leftover, cache)
    repository = leftover.repository
    room = room_of(repository)
    with locked(repository, [leftover.etag]):
        freed = _discard(leftover, repository, room, sweep)
    clear_empty(repository, room)
    return freed


def _discard(leftover: Leftover, repository: CachedRepository, room: Room, sweep: Sweep) -> int:
    path = leftover.path
    match leftover.kind:
        case "half" if path.name.endswith(PART_ENDING):
            stem = path.name.removesuffix(PART_ENDING)
            journals = (stem + JOURNAL_ENDING, stem + DRAFT_MARK + JOURNAL_ENDING)
            return sum(room.unlink(path.with_name(name)) for name in (*journals, path.name))
        case "broken_link" if path.exists():
            return 0  # the contents have come
        case "unreferenced":
            cached = read_cached(repository)
            named = any(name.blob == path.name for _, name in cached.names)
            if named or not cached.is_whole:
                return 0
            return remove_blob(repository, room, path.name, sweep)
        case _:
            return room.unlink(path)


def _of_others(leftover: Leftover, cache: Path) -> int:
    path = leftover.path
    if is_locked(cache / ".locks" / path.parent.parent.name / f"{leftover.etag}.lock"):
        raise InUse(
            f"{path} is being written now.",
            why="a program holds its lock",
            fix="wait until it is done, or end that program; then try again",
        )
    return Room(Path(os.path.realpath(cache))).unlink(path)
