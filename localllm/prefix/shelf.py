"""The prompts that are kept on disk: what is there, what is whole, what goes when room is needed.

An engine writes and reads the files, named `ID.kv`; beside each stands an `ID.json`, and a file counts
only with it. All is read from the folder anew, since the command line works in it as well. Never raises
for what the disk does or does not do: what cannot be kept is read again by the engine, no more.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from localllm.prefix.entries import (
    DATA_SUFFIX,
    Entry,
    choose_entry,
    choose_victims,
    superseded,
)
from localllm.prefix.outline import Outline
from localllm.prefix.record import is_newer, read_record, write_record
from localllm.units import GIB

_log = logging.getLogger("localllm.prefix")

_RECORD, _DRAFT = ".json", ".draft"
_OURS = re.compile(r"[0-9a-f]{8}\.(kv|json|draft)")
_DATA = re.compile(r"[0-9a-f]{8}\.kv")
_ID = re.compile(r"[0-9a-f]{8}")
_MOST_BYTES = 20 * GIB

_Stamp = tuple[int, int, int]


def decide_budget_bytes(max_gib: float | None, *, free_bytes: int, held_bytes: int) -> int:
    """How much may lie there: what the user says, else a tenth of the free disk, at most 20 GiB.

    Whatever the user says, a tenth of the free disk stays free.

    Args:
        held_bytes: By the shelf itself; they are as good as free.
    """
    a_tenth_bytes = (free_bytes + held_bytes) // 10
    if max_gib is not None:
        return min(int(max_gib * GIB), 9 * a_tenth_bytes)
    return min(a_tenth_bytes, _MOST_BYTES)


def read_budget_bytes(folder: Path, max_gib: float | None) -> int:
    """Ask the disk how much may lie in a folder, which need not be there yet."""
    place = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    try:
        free_bytes = shutil.disk_usage(place).free
    except OSError:
        free_bytes = 0
    return decide_budget_bytes(max_gib, free_bytes=free_bytes, held_bytes=read_held_bytes(folder))


def read_held_bytes(folder: Path) -> int:
    """Ask how much lies there: what is being written, and what other versions left, among it."""
    return sum(_size(file) or 0 for file in _files(folder))


class Shelf:
    """The folder of saved prompts.

    Args:
        budget_bytes: How much may lie there; asked each time something is taken in.
        now: Unix seconds.
    """

    def __init__(
        self, folder: Path, budget_bytes: Callable[[], int], now: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._budget_bytes = budget_bytes
        self._now = now
        self._known: dict[str, tuple[_Stamp, Entry | None]] = {}

    def entries(self) -> Sequence[Entry]:
        """List what can be used, as far as can be told without reading it."""
        there, before = _scan(self._folder), self._known
        known: dict[str, tuple[_Stamp, Entry | None]] = {}
        for name, found in there.items():
            id, _, end = name.partition(".")  # noqa: A001  # what the user calls it
            if end == "json":
                stamp = found.st_ctime_ns, found.st_ino, found.st_size
                was = before.get(id)
                if was is None or was[0] != stamp:
                    was = stamp, read_record(self._folder / name)
                known[id] = was
        self._known = known  # as a whole: another thread may be reading
        return [
            entry
            for _, entry in known.values()
            if entry is not None
            and entry.file in there
            and there[entry.file].st_size == entry.size_bytes
        ]

    def best(self, key: str, wanted: Outline) -> Entry | None:
        """Find what has most of a prompt."""
        return choose_entry(self.entries(), key, wanted)

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether so much may be kept at all, others making room."""
        return size_bytes <= self._budget_bytes() - self._strange_bytes()

    def new_file(self) -> str:
        """Name a file for an engine to write; the folder is there, and its user's alone."""
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
        while True:
            name = secrets.token_hex(4)
            if not any((self._folder / f"{name}{end}").exists() for end in (DATA_SUFFIX, _RECORD)):
                return name + DATA_SUFFIX

    def take_in(
        self,
        name: str,
        *,
        key: str,
        model: str,
        outline: Outline,
        tokens: int,
        written_bytes: int | None,
    ) -> Entry | None:
        """Keep a file that an engine has written. Blocks: it is read as a whole.

        Args:
            written_bytes: As the engine says; a file of another size is not whole. None: it could
                not write it.

        Returns:
            None if it cannot be kept; it is removed then.
        """
        file, now = self._folder / name, self._now()
        size_bytes = _size(file) if _DATA.fullmatch(name) else None
        if not size_bytes or size_bytes != written_bytes or not self.has_room(size_bytes):
            self.give_up(name)
            return None
        new = Entry(
            id=file.stem,
            key=key,
            model=model,
            outline=outline,
            tokens=tokens,
            size_bytes=size_bytes,
            sha256=_sha256(file) or "",
            saved_at=now,
            used_at=now,
            uses=0,
        )
        settled = self._settle(new) if new.sha256 and tokens > 0 else None
        if settled is None:
            self.give_up(name)
        return settled

    def give_up(self, name: str) -> None:
        """Remove what an engine was to write and did not, or not as a whole."""
        if _DATA.fullmatch(name):
            self.remove(Path(name).stem)

    def check(self, entry: Entry) -> bool:
        """Tell whether a file is what was taken in; one that is not is removed. Blocks: it is read.

        An engine that is given half a file dies of it.
        """
        file = self._folder / entry.file
        if _size(file) == entry.size_bytes and _sha256(file) == entry.sha256:
            return True
        _log.warning("a saved prompt is damaged, and is removed: id=%s", entry.id)
        self.remove(entry.id)
        return False

    def touch(self, entry: Entry) -> None:
        """Note that one was of use."""
        file = self._folder / (entry.id + _RECORD)
        known = read_record(file)
        if known is not None:
            with suppress(OSError):
                write_record(file, replace(known, used_at=self._now(), uses=known.uses + 1))

    def remove(self, id: str) -> None:  # noqa: A002  # what the user calls it
        """Remove one, if it is there."""
        if _ID.fullmatch(id):
            for end in (_RECORD, _DRAFT, DATA_SUFFIX):  # the record first: without it none counts
                _unlink(self._folder / (id + end))

    def remove_all(self) -> None:
        """Remove all, also what is being written and what another version has written."""
        for file in _files(self._folder):
            _unlink(file)

    def tidy(self) -> None:
        """Remove what is left over from a crash, and what is over the budget. Only while nothing is written.

        What a newer version has written stays, and so does what is not ours.
        """
        good = {entry.id for entry in self.entries()}
        for file in _files(self._folder):
            is_kept = file.stem in good or is_newer(file.with_suffix(_RECORD))
            if file.suffix == _DRAFT or not is_kept:
                _unlink(file)
        self._make_room(self._budget_bytes() - self._strange_bytes(), self.entries())

    def _settle(self, new: Entry) -> Entry | None:
        """Write down a new one, and remove what it stands for and what there is no room for.

        Returns:
            None where the disk does not take it.
        """
        file, others = self._folder / new.file, self.entries()
        old = superseded(others, new)
        new = replace(new, uses=sum(one.uses for one in old))
        try:
            file.chmod(0o600)
            write_record(file.with_suffix(_RECORD), new)
        except OSError as error:
            _log.info("a prompt cannot be kept: %s", error.strerror)
            return None
        for one in old:
            self.remove(one.id)
        room_bytes = self._budget_bytes() - self._strange_bytes() - new.size_bytes
        self._make_room(room_bytes, [one for one in others if one not in old])
        return new

    def _make_room(self, budget_bytes: int, entries: Sequence[Entry]) -> None:
        for one in choose_victims(entries, budget_bytes, self._now()):
            self.remove(one.id)

    def _strange_bytes(self) -> int:
        """What lies there for a newer version."""
        known = {entry.id for entry in self.entries()}
        return sum(
            _size(file) or 0
            for file in _files(self._folder)
            if file.suffix == DATA_SUFFIX
            and file.stem not in known
            and is_newer(file.with_suffix(_RECORD))
        )


def _files(folder: Path) -> Sequence[Path]:
    """List what is named as ours are."""
    try:
        return sorted(file for file in folder.iterdir() if _OURS.fullmatch(file.name))
    except OSError:
        return ()


def _scan(folder: Path) -> Mapping[str, os.stat_result]:
    """Look at all regular files named as ours are, as with each request: Paths would cost ten times as much."""
    found: dict[str, os.stat_result] = {}
    with suppress(OSError), os.scandir(folder) as several:
        for one in several:
            if _OURS.fullmatch(one.name):
                with suppress(OSError):  # removed meanwhile
                    if one.is_file(follow_symlinks=False):
                        found[one.name] = one.stat(follow_symlinks=False)
    return found


def _size(file: Path) -> int | None:
    """The size of a file; None for what is none, a link among it."""
    try:
        found = file.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _sha256(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None


def _unlink(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)
