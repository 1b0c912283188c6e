"""All that localllm has put on this disk, models aside: found by name, and removed by name.

What is named as nothing of ours is left, and told; a folder where nothing of ours can be is not
entered. No link is followed: one of ours is removed, what it leads to is not. Neither is what
another user has written ours, in a folder that several share.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from localllm.paths import Paths
from localllm.state_files import MARKS, Place, StateFile, kind_of, mark_of, may_hold, place_of


@dataclass(frozen=True, slots=True)
class Belongings:
    """What there is in one folder."""

    folder: Path
    files: tuple[Path, ...]
    """Ours, links and sockets among them; without the next."""

    settings: tuple[Path, ...]
    """That the user has written."""

    size_bytes: int
    folders: tuple[Path, ...]
    """The innermost first, `folder` last; removed where they are empty then."""

    foreign: tuple[Path, ...]
    """Nothing of ours, folders among them; stays."""


def survey(paths: Paths) -> Sequence[Belongings]:
    """Look at all places; those that are not there are left out. On macOS three are one folder."""
    roots = dict.fromkeys(place_of(paths, place) for place in Place)
    found = [
        _look(root, [place for place in Place if place_of(paths, place) == root], {*roots} - {root})
        for root in roots
    ]
    return [one for one in found if one.folders or one.foreign]


def remove(belongings: Belongings, *, keeps: Collection[Path] = ()) -> Sequence[Path]:
    """Remove what is ours, and the folders that are empty then.

    Args:
        keeps: Files that stay all the same.

    Returns:
        What could not be removed.
    """
    doomed = [one for one in (*belongings.files, *belongings.settings) if one not in keeps]
    doomed.sort(key=lambda file: file.name in MARKS)  # last: if this is cut off, they tell the rest
    stays = [file for file in doomed if not _is_unlinked(file)]
    for folder in belongings.folders:
        with suppress(OSError):  # something foreign is in it
            folder.rmdir()
    return stays


def hub_models(cache: Path) -> tuple[int, int]:
    """Count the models in the cache that all programs share, and their bytes."""
    folders = [one for one in _entries(cache) if one.name.startswith("models--")]
    sizes = [_size_of(Path(one.path) / "blobs") for one in folders]
    return len(folders), sum(sizes)


def _look(root: Path, places: Collection[Place], others: Collection[Path]) -> Belongings:
    """Look through one folder; a link in its stead is the user's, and not entered."""
    if root.is_symlink():
        return Belongings(root, (), (), 0, (), (root,))
    files, settings, foreign, folders = list[Path](), list[Path](), list[Path](), list[Path]()
    size_bytes = 0
    for entry in _walk(root, partial(_is_entered, root, places), others):
        path = Path(entry.path)
        name = path.relative_to(root).as_posix()
        if entry.is_dir(follow_symlinks=False):
            (folders if _is_entered(root, places, path) else foreign).append(path)
            continue
        kind = _kind(places, name) if _is_by_us(entry) else None
        if kind is None:
            foreign.append(path)
            continue
        (settings if kind.place is Place.CONFIG else files).append(path)
        size_bytes += _bytes_of(entry)
    own = (*reversed(folders), root) if root.is_dir() else ()
    return Belongings(root, tuple(files), tuple(settings), size_bytes, own, tuple(foreign))


def _kind(places: Collection[Place], name: str) -> StateFile | None:
    kinds = (kind_of(place, name) for place in places)
    return next((kind for kind in kinds if kind is not None), None)


def _is_entered(root: Path, places: Collection[Place], folder: Path) -> bool:
    """Whether something of ours may be in a folder."""
    name = folder.relative_to(root).as_posix()
    marks = [mark_of(place, name) for place in places if may_hold(place, name)]
    return any(mark is None or (folder / mark).is_file() for mark in marks)


def _is_by_us(entry: os.DirEntry[str]) -> bool:
    """Whether this user has written it; for root, all is."""
    user = os.geteuid()
    try:
        return user == 0 or entry.stat(follow_symlinks=False).st_uid == user
    except OSError:
        return False


def _walk(
    folder: Path, enters: Callable[[Path], bool], others: Collection[Path]
) -> Iterator[os.DirEntry[str]]:
    """What is below a folder, the outer before the inner; no link is followed."""
    for entry in _entries(folder):
        path = Path(entry.path)
        if path in others:
            continue
        yield entry
        if entry.is_dir(follow_symlinks=False) and enters(path):
            yield from _walk(path, enters, others)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _bytes_of(entry: os.DirEntry[str]) -> int:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _size_of(folder: Path) -> int:
    return sum(_bytes_of(entry) for entry in _entries(folder))


def _is_unlinked(file: Path) -> bool:
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return False
    return True
