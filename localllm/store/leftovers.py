"""Finds what no model of the shared cache needs: half files, broken links, contents without a name.

Says of each what it is, what its removal frees, and whether a program is at it now. Removes
nothing, and looks at nothing outside the cache.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from localllm.api.store_views import LeftoverKind
from localllm.store.clearing import is_locked
from localllm.store.removal import frees, shared_behind
from localllm.store.revisions import (
    Cached,
    cached_repositories,
    freed_bytes,
    read_blobs,
    read_cached,
)
from localllm.store.shared_cache import CachedRepository
from localllm.transfer.part import JOURNAL_ENDING, PART_ENDING, QUARANTINED_ENDING

INCOMPLETE_ENDING = ".incomplete"
DRAFT_MARK = ".draft"
"""Before the ending of a journal that is being rewritten; see transfer/part.py."""

BUSY_WITHIN_S = 600.0
"""A file that was written to so lately may still be: not every program takes the lock."""

KEPT_FOR_S = 86_400.0
"""How long what a download may take up again is kept, after it was last written to."""

_UNLOCKED = ("incomplete", "unreferenced")
"""What may be at work though nobody holds its lock: it is named some time after it has come."""

_OTHERS = ("datasets--", "spaces--", "kernels--")
"""How folders of repositories begin that hold no models; other tools' half files lie there too."""


@dataclass(frozen=True, slots=True)
class Leftover:
    kind: LeftoverKind
    path: Path
    size_bytes: int
    """That its removal frees: of a half, what is allocated."""

    changed: float
    """Unix seconds."""

    why: str
    in_use: bool
    repository: CachedRepository | None
    """None: of a repository that holds no models."""

    etag: str
    """What the contents are called, or would be."""

    @property
    def is_resumable(self) -> bool:
        """Whether some download may still take it up."""
        return self.kind in {"half", "unreferenced"} or self.path.name == _old_half(self.etag)


@dataclass(frozen=True, slots=True)
class _Looking:
    """At one repository."""

    repository: CachedRepository
    blobs: Mapping[str, os.stat_result]
    now: float

    def found(self, kind: LeftoverKind, name: str, why: str, *, more_bytes: int = 0) -> Leftover:
        """Something among the blobs."""
        found, etag = self.blobs[name], name.split(".", 1)[0]
        return Leftover(
            kind,
            self.repository.blob(name),
            frees(self.repository, name, found) + more_bytes,
            found.st_mtime,
            f"{why} of {self.repository.name}.",
            self.is_busy(etag) or (kind in _UNLOCKED and self.is_fresh(found.st_mtime)),
            self.repository,
            etag,
        )

    def goes_along(self, name: str) -> bool:
        """Whether it is the journal of a half that is here."""
        half = _half_of(name)
        return half is not None and half in self.blobs

    def is_busy(self, etag: str) -> bool:
        return is_locked(self.repository.lock(etag))

    def is_fresh(self, changed: float) -> bool:
        return self.now - changed < BUSY_WITHIN_S


def read_leftovers(cache: Path, now: float) -> Sequence[Leftover]:
    """Find them all, by path.

    Args:
        now: Unix seconds.
    """
    found: list[Leftover] = []
    for repository in cached_repositories(cache):
        found += leftovers_of(repository, now)
    found += _of_others(cache, now)
    return sorted(found, key=lambda one: one.path)


def leftovers_of(repository: CachedRepository, now: float) -> Sequence[Leftover]:
    """Find those of one repository."""
    cached = read_cached(repository)
    looking = _Looking(repository, read_blobs(repository), now)
    found = [*_broken_links(cached, looking)]
    needed = {name.blob for _, name in cached.names if name.blob is not None}
    for name in looking.blobs:
        if not looking.goes_along(name):
            one = _half(looking, name) or _without_name(looking, name, needed, cached)
            found += [] if one is None else [one]
    return _of_a_pull(found)


def _of_a_pull(found: Sequence[Leftover]) -> Sequence[Leftover]:
    """Contents get their names when all that is pulled along with them is there."""
    if not any(one.kind in {"half", "incomplete"} and one.in_use for one in found):
        return found
    return [replace(one, in_use=True) if one.kind == "unreferenced" else one for one in found]


def _half(looking: _Looking, name: str) -> Leftover | None:
    if name.endswith(JOURNAL_ENDING):
        return looking.found("half", name, "The notes about a half file that is gone,")
    if name.endswith(PART_ENDING):
        more = sum(freed_bytes(looking.blobs[n]) for n in looking.blobs if _half_of(n) == name)
        why = "What a pull that has not ended has of a file"
        return looking.found("half", name, why, more_bytes=more)
    if name.endswith(INCOMPLETE_ENDING):
        return looking.found("incomplete", name, _what_is(name))
    if name.endswith(QUARANTINED_ENDING):
        return looking.found(
            "quarantined", name, "Contents with another hash than they should have,"
        )
    return None


def _half_of(name: str) -> str | None:
    """The half that a journal is of; None for what is no journal."""
    if not name.endswith(JOURNAL_ENDING):
        return None
    return name.removesuffix(JOURNAL_ENDING).removesuffix(DRAFT_MARK) + PART_ENDING


def _what_is(name: str) -> str:
    """Explain another tool's half file; a name with something random in it is nobody's to go on."""
    if name == _old_half(name.split(".", 1)[0]):
        return "What an older huggingface_hub has of a file, and may take up again,"
    return "What another program's download has left of a file, and none takes up again,"


def _old_half(etag: str) -> str:
    return f"{etag}{INCOMPLETE_ENDING}"


def _without_name(
    looking: _Looking, name: str, needed: set[str], cached: Cached
) -> Leftover | None:
    """Contents that no revision has a name for, where all revisions could be read."""
    is_contents = not name.startswith(".") and not stat.S_ISDIR(looking.blobs[name].st_mode)
    if name in needed or not cached.is_whole or not is_contents:
        return None
    if (
        shared_behind(looking.repository, name) is not None
        and not looking.repository.blob(name).exists()
    ):
        return looking.found("broken_link", name, "A link to shared contents that are gone,")
    return looking.found("unreferenced", name, "Contents that no revision has a name for,")


def _broken_links(cached: Cached, looking: _Looking) -> Iterator[Leftover]:
    """Names without contents; one that leads elsewhere may wait for a disk, and is no leftover."""
    for revision, name in cached.names:
        if name.is_broken and name.blob is not None:
            file = revision.folder / name.path
            try:
                changed = file.lstat().st_mtime
            except OSError:
                continue
            why = f"{name.path} of {cached.repository.name}, whose contents are gone."
            busy = looking.is_busy(name.blob)
            yield Leftover("broken_link", file, 0, changed, why, busy, cached.repository, name.blob)


def _of_others(cache: Path, now: float) -> Iterator[Leftover]:
    """Half files in repositories of data sets and the like, which other tools left."""
    try:
        folders = [f for f in sorted(cache.iterdir()) if f.name.startswith(_OTHERS)]
    except OSError:
        return
    for folder in folders:
        for file in sorted(folder.glob(f"blobs/*{INCOMPLETE_ENDING}")):
            try:
                found = file.lstat()
            except OSError:
                continue
            etag = file.name.split(".", 1)[0]
            lock = cache / ".locks" / folder.name / f"{etag}.lock"
            busy = is_locked(lock) or now - found.st_mtime < BUSY_WITHIN_S
            why = f"{_what_is(file.name)} of {folder.name.replace('--', '/')}."
            freed = freed_bytes(found)
            yield Leftover("incomplete", file, freed, found.st_mtime, why, busy, None, etag)
