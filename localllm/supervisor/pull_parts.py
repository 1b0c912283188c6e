"""Removes what has come of a pull that nobody wants any more. Whole files stay, and other programs' too."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from localllm.errors import InUse, LocalLLMError
from localllm.store.clearing import Room, locked, room_of
from localllm.store.emptying import clear_empty
from localllm.store.job import PullJob
from localllm.store.shared_cache import CachedRepository
from localllm.transfer.part import DRAFT_ENDING, JOURNAL_ENDING, PART_ENDING

_log = logging.getLogger(__name__)
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def remove_parts(cache: Path, job: PullJob, needed: frozenset[str]) -> Sequence[Path]:
    """Remove the half files of a job, and the folders that are empty then. Blocks.

    One that a program is fetching at the moment stays: it holds the lock.

    Args:
        needed: Etags that other pulls bring; theirs stay.

    Returns:
        What is gone.
    """
    repository, removed = CachedRepository(cache, job.repo), list[Path]()
    try:
        room = room_of(repository)
        for etag in sorted(_etags(job) - needed):
            removed += _remove_one(repository, room, etag)
        clear_empty(repository, room)
    except (LocalLLMError, OSError) as error:
        _log.warning("what has come of a pull is not removed: %s", error)
    return removed


def contents_of(cache: Path, job: PullJob) -> Iterable[Path]:
    """List where a job's contents are and come to be, whether they are there or not."""
    repository = CachedRepository(cache, job.repo)
    for etag in sorted(_etags(job)):
        blob = repository.blob(etag)
        yield from (blob, *_halves(blob))


def _etags(job: PullJob) -> set[str]:
    """List what names contents, and could name nothing else."""
    known = (file.etag for file in job.files if file.etag is not None)
    return {etag for etag in known if _HASH.fullmatch(etag)}


def _halves(blob: Path) -> Sequence[Path]:
    endings = (PART_ENDING, JOURNAL_ENDING, DRAFT_ENDING)
    return [blob.with_name(blob.name + ending) for ending in endings]


def _remove_one(repository: CachedRepository, room: Room, etag: str) -> Iterable[Path]:
    halves = [half for half in _halves(repository.blob(etag)) if half.is_file()]
    if not halves:
        return []
    try:
        with locked(repository, [etag]):
            return [half for half in halves if room.unlink(half)]
    except InUse:
        _log.info("another program fetches it, so it stays: file=%s", halves[0])
        return []
