"""Hashes files anew, and tells which are not what they are called.

The shared cache calls contents by their hash: SHA-256, or git's SHA-1 for small files; so does
Ollama. Of other files nobody here knows what they should be. What is damaged in the shared cache
is set aside and loses its names, so that nobody serves it and a pull fetches it anew; other
programs' files are only told of.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from localllm.errors import InUse
from localllm.store.clearing import locked, room_of
from localllm.store.emptying import clear_empty
from localllm.store.inventory import OnDisk
from localllm.store.removal import Sweep, shared_behind
from localllm.store.revisions import cached_repository, read_cached
from localllm.store.shared_cache import CachedRepository
from localllm.store.unnoticed import open_unnoticed
from localllm.transfer.part import QUARANTINED_ENDING

_PIECE_BYTES = 1 << 20
_SHA256, _GIT_SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_OLLAMA = "sha256-"
Outcome = Literal["good", "damaged", "unknown"]
Tell = Callable[[str, int, int], None]
"""Which file, how many bytes of it have been read, and how many there are."""


Seen = tuple[int, int, int]
"""What tells a file from the one that takes its place: where it is, and when it was written."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one file."""

    path: Path
    size_bytes: int
    outcome: Outcome
    why: str | None = None
    """None for a good one."""

    seen: Seen | None = None
    """Which file was read, whatever has its name by now; None where none was."""


@dataclass(frozen=True, slots=True)
class _Expected:
    digest: str
    is_git: bool


def verify_file(model: OnDisk, file: Path, cache: Path, tell: Tell) -> Checked:
    """Read one of a model's files and compare its hash. Changes nothing, and never raises."""
    expected = _expected(model, file, cache)
    try:
        if expected is None:
            why = "nobody here knows which hash it should have"
            return Checked(file, file.stat().st_size, "unknown", why)
        digest, found = _read(file, expected, tell)
    except OSError as error:
        return Checked(file, 0, "unknown", f"it cannot be read: {error.strerror}")
    if digest == expected.digest:
        return Checked(file, found.st_size, "good")
    why = f"its hash is {digest}, not {expected.digest}"
    return Checked(file, found.st_size, "damaged", why, _seen(found))


def set_aside(model: OnDisk, checked: Checked, cache: Path, sweep: Sweep) -> str:
    """Take a damaged file out of the shared cache, and say what was done, in a sentence.

    Its contents get another name first: a name without contents serves nobody, contents that are
    wrong under the right name would.

    Another program may have done so meanwhile, and fetched it anew: then that stays.

    Raises:
        LocalLLMError: It leads out of the cache, or the system refuses.
    """
    if model.where != "huggingface" or model.repo is None:
        return "it is another program's, and left as it is"
    repository = cached_repository(cache, model.repo)
    etag = _blob_of(repository, checked.path)
    if etag is None:
        return "it is no link to the cache's contents, and left as it is"
    room = room_of(repository)
    try:
        with locked(repository, [etag]):
            if _now(repository.blob(etag)) != checked.seen:
                return "it is another file by now, and left as it is"
            shared = shared_behind(repository, etag)
            if shared is None:
                room.rename(repository.blob(etag), f"{etag}{QUARANTINED_ENDING}")
            else:
                room.unlink(repository.blob(etag))
                sweep(shared, repository.cache)
            for revision, name in read_cached(repository).names:
                if name.blob == etag:
                    room.unlink(revision.folder / name.path)
        clear_empty(repository, room)
    except InUse:
        return "a program writes it now, so it is left as it is"
    return "it is set aside: localllm pull fetches it anew"


def files_once(models: Sequence[OnDisk]) -> Sequence[tuple[OnDisk, Path]]:
    """List each file of some models once, however many names it has."""
    found: dict[str, tuple[OnDisk, Path]] = {}
    for model in models:
        for file in model.files:
            found.setdefault(os.path.realpath(file), (model, file))
    return list(found.values())


def _expected(model: OnDisk, file: Path, cache: Path) -> _Expected | None:
    if model.where == "huggingface" and model.repo is not None:
        etag = _blob_of(cached_repository(cache, model.repo), file)
        return None if etag is None else _by_name(etag)
    if model.where == "ollama" and file.name.startswith(_OLLAMA):
        return _by_name(file.name.removeprefix(_OLLAMA))
    return None


def _by_name(etag: str) -> _Expected | None:
    if _SHA256.fullmatch(etag):
        return _Expected(etag, is_git=False)
    return _Expected(etag, is_git=True) if _GIT_SHA1.fullmatch(etag) else None


def _blob_of(repository: CachedRepository, file: Path) -> str | None:
    names = read_cached(repository).names
    return next((n.blob for r, n in names if r.folder / n.path == file), None)


def _now(blob: Path) -> Seen | None:
    try:
        return _seen(blob.stat())
    except OSError:
        return None


def _seen(found: os.stat_result) -> Seen:
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _read(file: Path, expected: _Expected, tell: Tell) -> tuple[str, os.stat_result]:
    with open(file, "rb", buffering=0, opener=open_unnoticed) as opened:
        found = os.fstat(opened.fileno())
        size, done = found.st_size, 0
        digest: _Hash = hashlib.sha256()
        if expected.is_git:
            digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while piece := opened.read(_PIECE_BYTES):
            digest.update(piece)
            done += len(piece)
            tell(str(file), done, size)
    return digest.hexdigest(), found
