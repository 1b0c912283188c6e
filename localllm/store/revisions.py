"""Reads what the shared cache has of a repository: the names in its revisions, and what they lead to.

Opens no file but refs, enters no folder through a link, and raises for nothing that it may meet
on a disk: broken links, loops of links, folders that cannot be read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from errno import ELOOP, ENOENT, ENOTDIR
from pathlib import Path

from localllm.store.shared_cache import CachedRepository

_PREFIX = "models--"
_NOTHING_THERE = {ENOENT, ELOOP, ENOTDIR}
_MAX_REF_BYTES = 256
_MAX_DEPTH = 64
"""Of folders in a revision; a cache that is deeper is no cache."""


@dataclass(frozen=True, slots=True)
class Name:
    """What a revision calls a file."""

    path: str
    """Inside the revision, with forward slashes."""

    blob: str | None
    """What its contents are called among the repository's blobs; None where it is no link to one."""

    stat: os.stat_result | None
    """Of the contents; None where there are none, or nobody may see them."""

    is_broken: bool = False
    """Whether there certainly are none."""

    @property
    def is_file(self) -> bool:
        return self.stat is not None and stat.S_ISREG(self.stat.st_mode)

    @property
    def size_bytes(self) -> int:
        return 0 if self.stat is None else self.stat.st_size


@dataclass(frozen=True, slots=True)
class Revision:
    commit: str
    folder: Path
    names: tuple[Name, ...]
    is_whole: bool
    """Whether all of it could be read; what cannot may need any contents."""


@dataclass(frozen=True, slots=True)
class Cached:
    """A repository, as it is on this disk."""

    repository: CachedRepository
    revisions: tuple[Revision, ...]
    """The one that `main` means first, then the one that was changed last."""

    is_whole: bool
    """As a revision's."""

    @property
    def names(self) -> Iterator[tuple[Revision, Name]]:
        for revision in self.revisions:
            for name in revision.names:
                yield revision, name


def cached_repositories(cache: Path) -> Sequence[CachedRepository]:
    """List the repositories of models, by name."""
    cache = Path(os.path.abspath(cache))  # noqa: PTH100  # links are told apart by their text
    found = [folder.name for folder in folders_in(cache) if folder.name.startswith(_PREFIX)]
    return [CachedRepository(cache, _name_of(folder)) for folder in found]


def folders_in(place: Path) -> Sequence[Path]:
    """List the folders in one, by name, links to folders among them; none where it cannot be read."""
    return [Path(entry.path) for entry in _entries(str(place)) or () if _is_folder(entry)]


def cached_repository(cache: Path, name: str) -> CachedRepository:
    """One of them, there or not."""
    return CachedRepository(Path(os.path.abspath(cache)), name)  # noqa: PTH100


def read_cached(repository: CachedRepository) -> Cached:
    """Read the names in all revisions of a repository."""
    folder = repository.folder / "snapshots"
    blobs = _Blobs(str(repository.blobs))
    revisions: list[tuple[float, Revision]] = []
    entries = _entries(str(folder))
    is_whole = not folder.is_symlink() and (entries is not None or not os.path.lexists(folder))
    for entry in entries or ():
        if entry.is_dir(follow_symlinks=False):
            revisions.append((_changed(entry), _read_revision(folder / entry.name, blobs)))
        else:
            is_whole = is_whole and not entry.is_symlink()
    main = read_refs(repository).get("main")
    ordered = sorted(revisions, key=lambda r: (r[1].commit != main, -r[0], r[1].commit))
    found = tuple(revision for _, revision in ordered)
    return Cached(repository, found, is_whole and all(one.is_whole for one in found))


def read_folder(folder: Path) -> Revision:
    """Read the names in any other folder of models, as if it were a revision."""
    return _read_revision(folder, None)


def read_refs(repository: CachedRepository) -> Mapping[str, str]:
    """Read which commit each branch and tag means."""
    folder = repository.folder / "refs"
    found: dict[str, str] = {}
    for path, entry in _walk(str(folder), "", _MAX_DEPTH, []):
        if entry.is_file(follow_symlinks=False):
            try:
                with Path(entry.path).open("rb") as opened:
                    found[path] = opened.read(_MAX_REF_BYTES).decode(errors="replace").strip()
            except OSError:
                continue
    return found


def read_blobs(repository: CachedRepository) -> Mapping[str, os.stat_result]:
    """List what lies among a repository's blobs, halves and links too, as they are themselves."""
    found: dict[str, os.stat_result] = {}
    if repository.blobs.is_symlink():
        return found
    for entry in _entries(str(repository.blobs)) or ():
        try:
            found[entry.name] = entry.stat(follow_symlinks=False)
        except OSError:
            continue
    return found


def freed_bytes(of: os.stat_result) -> int:
    """Tell what removing a file frees: of one with holes, what is allocated."""
    if of.st_nlink > 1 or not stat.S_ISREG(of.st_mode):
        return 0
    return min(of.st_size, of.st_blocks * 512)


class _Blobs:
    """Tells which links lead to a repository's blobs."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._real = os.path.realpath(folder)

    def named_by(self, link: str) -> str | None:
        try:
            target = os.readlink(link)  # noqa: PTH115  # thousands of them
        except OSError:
            return None
        behind = os.path.normpath(os.path.join(os.path.dirname(link), target))  # noqa: PTH118, PTH120
        folder, name = os.path.split(behind)
        return name if self._folder == folder or os.path.realpath(folder) == self._real else None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle, or where nobody may look
        return False


def _changed(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except OSError:  # it has just gone
        return 0.0


def _name_of(folder: str) -> str:
    return folder.removeprefix(_PREFIX).replace("--", "/", 1)


def _read_revision(folder: Path, blobs: _Blobs | None) -> Revision:
    unread: list[str] = []
    walked = _walk(str(folder), "", _MAX_DEPTH, unread)
    names = tuple(_named(path, entry, blobs) for path, entry in walked)
    return Revision(folder.name, folder, names, not unread)


def _named(path: str, entry: os.DirEntry[str], blobs: _Blobs | None) -> Name:
    blob = blobs.named_by(entry.path) if blobs is not None and entry.is_symlink() else None
    try:
        return Name(path, blob, entry.stat())
    except OSError as error:
        return Name(path, blob, None, is_broken=error.errno in _NOTHING_THERE)


def _walk(
    folder: str, above: str, depth: int, unread: list[str]
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Walk through what is no folder; `unread` takes the folders that cannot be entered."""
    entries = _entries(folder)
    if entries is None or depth == 0:
        unread.append(folder)
        return
    for entry in entries:
        path = above + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{path}/", depth - 1, unread)
        else:
            yield path, entry


def _entries(folder: str) -> Sequence[os.DirEntry[str]] | None:
    """By name; None where it is no folder, or cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return None
