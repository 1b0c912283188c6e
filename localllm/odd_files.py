"""What is odd about the state files that are here: newer ones, damaged ones. Changes nothing on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from localllm.paths import Paths
from localllm.state_files import STATE_FILES, Says, StateFile, place_of
from localllm.versioned import version_in

_SQLITE_VERSION = slice(60, 64)
"""Where an SQLite file has its `user_version`. Source: sqlite.org/fileformat.html, 1.3."""

_SQLITE = b"SQLite format 3\0"
_HEAD = re.compile(rb"localllm [a-z ]+ (\d{1,9})\n")
_MOST_BYTES = 32 << 20


class Oddity(StrEnum):
    NEWER = "newer"
    """A later version of localllm has written it."""

    DAMAGED = "damaged"
    SET_ASIDE = "set aside"
    """It was damaged, and a new one was begun."""


@dataclass(frozen=True, slots=True)
class Odd:
    """One file that is not as this version writes it."""

    file: Path
    kind: StateFile
    oddity: Oddity
    version: int | None = None
    """That it says; None where it says none."""


def look_over(paths: Paths) -> Sequence[Odd]:
    """Find files that this version cannot read, or could not; those that count by the hundred aside."""
    return [
        odd
        for kind in STATE_FILES
        if kind.version is not None and kind.says is not Says.STAMP and not kind.many
        for odd in _looked_at(place_of(paths, kind.place), kind)
    ]


def render_odd(odd: Odd) -> str:
    """Say what is the matter with a file, and what is done about it."""
    match odd.oddity:
        case Oddity.NEWER:
            return (
                f"{odd.file} was written by a newer localllm (version {odd.version}, this one knows "
                f"{odd.kind.version}): {odd.kind.newer}. Fix: localllm upgrade"
            )
        case Oddity.DAMAGED:
            return f"{odd.file} is damaged ({odd.kind.what}): {odd.kind.damaged}"
        case Oddity.SET_ASIDE:
            return f"{odd.file} was damaged ({odd.kind.what}) and a new one begun; remove it if you like"


def read_version(file: Path, says: Says) -> int | None:
    """Read of which version a file says that it is; None if it says none.

    Raises:
        OSError: It is not there, or not to be read.
    """
    with file.open("rb") as opened:
        if says is Says.SQLITE:
            head = opened.read(_SQLITE_VERSION.stop)
            is_one = head.startswith(_SQLITE) and len(head) == _SQLITE_VERSION.stop
            return int.from_bytes(head[_SQLITE_VERSION], "big") if is_one else None
        content = opened.readline(_MOST_BYTES) if says is Says.LINE else opened.read(_MOST_BYTES)
    if says is Says.HEAD:
        head_line = _HEAD.match(content)
        return int(head_line[1]) if head_line else None
    return version_in(content, "version" if says is Says.VERSION else "format")


def _looked_at(folder: Path, kind: StateFile) -> Iterator[Odd]:
    for file in sorted(folder.glob(kind.pattern)):
        try:
            version = read_version(file, kind.says)
        except OSError:
            continue
        if version is None and not _may_say_none(file, kind):
            yield Odd(file, kind, Oddity.DAMAGED)
        elif version is not None and version > (kind.version or 0):
            yield Odd(file, kind, Oddity.NEWER, version)
    for file in sorted(folder.glob(f"{kind.pattern}.broken")):
        yield Odd(file, kind, Oddity.SET_ASIDE)


def _may_say_none(file: Path, kind: StateFile) -> bool:
    """Whether a file without a version is in order: a new database, a key of the first version."""
    size = file.stat().st_size
    return (kind.says is Says.SQLITE and size == 0) or (kind.says is Says.HEAD and size == 32)  # noqa: PLR2004
