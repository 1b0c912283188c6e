"""The prompts that are kept on disk: what is there, what is whole, what goes when room is needed.

An engine writes and reads its slots' files, named `ID.kv`, and requests are kept as `ID.request`; beside
each stands an `ID.json`, and a file counts only with it. All is read from the folder anew, since the
command line works in it as well. Never raises for what the disk does or does not do: what cannot be
kept is read again by the engine, no more.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from localllm.prefix.entries import (
    SLOT_SUFFIX,
    TEXT_SUFFIX,
    Entry,
    choose_entry,
    choose_victims,
    superseded,
)
from localllm.prefix.files import (
    DATA_NAME,
    DATA_SUFFIXES,
    DRAFT_SUFFIX,
    ID,
    RECORD_SUFFIX,
    files_of,
    scan,
    sha256_of,
    size_of,
    unlink,
)
from localllm.prefix.outline import Outline
from localllm.prefix.record import is_newer, read_record, write_record
from localllm.versioned import replace_private

_log = logging.getLogger("localllm.prefix")

_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Made:
    """What a file is of."""

    key: str
    model: str
    outline: Outline
    tokens: int
    path: str | None = None
    """Of the endpoint that a request was sent to; None: the file is a slot's."""


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
        self._abandoned: set[str] = set()
        self._distrusted: set[str] = set()

    def entries(self) -> Sequence[Entry]:
        """List what can be used, as far as can be told without reading it."""
        there, before = scan(self._folder), self._known
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
            and (entry.is_text or entry.key not in self._distrusted)
            and entry.file in there
            and there[entry.file].st_size == entry.size_bytes
        ]

    def best(
        self, key: str, wanted: Outline, without: Container[str] = frozenset()
    ) -> Entry | None:
        """Find what has most of a prompt.

        Args:
            without: Ids of those that do not count.
        """
        counting = [one for one in self.entries() if one.id not in without]
        return choose_entry(counting, key, wanted)

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether so much may be kept at all, others making room."""
        room_bytes = self._budget_bytes() - self._strange_bytes()
        return room_bytes > 0 and size_bytes <= room_bytes

    def new_file(self, suffix: str = SLOT_SUFFIX) -> str:
        """Name a file to be written; the folder is there, and its user's alone."""
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
        while True:
            name, taken = secrets.token_hex(4), (*DATA_SUFFIXES, RECORD_SUFFIX)
            if not any(os.path.lexists(self._folder / f"{name}{end}") for end in taken):
                return name + suffix

    def take_in(self, name: str, made: Made, *, written_bytes: int | None) -> Entry | None:
        """Keep a file that was written. Blocks: it is read as a whole.

        Args:
            written_bytes: As who wrote it says; a file of another size is not whole. None: it could
                not be written.

        Returns:
            None if it cannot be kept; it is removed then.
        """
        self._remove_abandoned()
        file, now = self._folder / name, self._now()
        size_bytes = size_of(file) if DATA_NAME.fullmatch(name) else None
        is_whole = size_bytes is not None and 0 < size_bytes == written_bytes
        if not is_whole or made.key in self._distrusted or not self.has_room(size_bytes or 0):
            self.give_up(name)
            return None
        new = Entry(
            id=file.stem,
            key=made.key,
            model=made.model,
            outline=made.outline,
            tokens=made.tokens,
            size_bytes=size_bytes or 0,
            sha256=sha256_of(file) or "",
            saved_at=now,
            used_at=now,
            uses=0,
            path=made.path,
        )
        settled = self._settle(new) if new.sha256 and made.tokens > 0 else None
        if settled is None:
            self.give_up(name)
        return settled

    def write_text(self, body: bytes) -> str | None:
        """Write a request, to be taken in. Blocks.

        Returns:
            Its file's name; None if there is no room.
        """
        if not self.has_room(len(body)):
            return None
        name = self.new_file(TEXT_SUFFIX)
        try:
            replace_private(self._folder / name, body, synced=False)
        except OSError as error:
            _log.info("a prompt cannot be kept: %s", error.strerror)
            return None
        return name

    def read_text(self, entry: Entry) -> bytes | None:
        """Read a request, if it is what was taken in; one that is not is removed."""
        if not self.check(entry):
            return None
        try:
            return (self._folder / entry.file).read_bytes()
        except OSError:
            return None

    def give_up(self, name: str) -> None:
        """Remove what an engine was to write and did not, or not as a whole."""
        if DATA_NAME.fullmatch(name):
            self.remove(Path(name).stem)

    def distrust(self, key: str) -> None:
        """Remove all slots of a key, and keep no more of it: an engine has died of one."""
        for entry in self.entries():
            if entry.key == key and not entry.is_text:
                self.remove(entry.id)
        self._distrusted.add(key)

    def abandon(self, name: str) -> None:
        """Give up what an engine writes, or is about to: it goes with the next that is taken in."""
        self._abandoned.add(name)

    def check(self, entry: Entry) -> bool:
        """Tell whether a file is what was taken in; one that is not is removed. Blocks: it is read.

        An engine that is given half a file dies of it.
        """
        file = self._folder / entry.file
        if size_of(file) == entry.size_bytes and sha256_of(file) == entry.sha256:
            return True
        _log.warning("a saved prompt is damaged, and is removed: id=%s", entry.id)
        self.remove(entry.id)
        return False

    def touch(self, entry: Entry) -> None:
        """Note that one was of use."""
        file = self._folder / (entry.id + RECORD_SUFFIX)
        known = read_record(file)
        if known is not None:
            with suppress(OSError):
                write_record(file, replace(known, used_at=self._now(), uses=known.uses + 1))

    def remove(self, id: str) -> None:  # noqa: A002  # what the user calls it
        """Remove one, if it is there."""
        if ID.fullmatch(id):
            # the record first: without it none counts
            for end in (RECORD_SUFFIX, DRAFT_SUFFIX, *DATA_SUFFIXES):
                unlink(self._folder / (id + end))
            unlink(self._folder / f".{id}{SLOT_SUFFIX}{DRAFT_SUFFIX}")

    def remove_all(self) -> None:
        """Remove all, also what is being written and what another version has written."""
        for file in files_of(self._folder):
            unlink(file)

    def tidy(self) -> None:
        """Remove what is left over from a crash, and what is over the budget. Only while nothing is written.

        What a newer version has written stays, and so does what is not ours.
        """
        good = {entry.id for entry in self.entries()}
        for file in files_of(self._folder):
            is_kept = file.stem in good or is_newer(file.with_suffix(RECORD_SUFFIX))
            if file.suffix == DRAFT_SUFFIX or not is_kept:
                unlink(file)
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
            write_record(file.with_suffix(RECORD_SUFFIX), new)
        except OSError as error:
            _log.info("a prompt cannot be kept: %s", error.strerror)
            return None
        for one in old:
            self.remove(one.id)
        room_bytes = self._budget_bytes() - self._strange_bytes() - new.size_bytes
        self._make_room(room_bytes, [one for one in others if one not in old])
        return new

    def _remove_abandoned(self) -> None:
        for name in tuple(self._abandoned):
            if size_of(self._folder / name) is not None:
                self._abandoned.discard(name)
                self.give_up(name)

    def _make_room(self, budget_bytes: int, entries: Sequence[Entry]) -> None:
        for one in choose_victims(entries, budget_bytes, self._now()):
            self.remove(one.id)

    def _strange_bytes(self) -> int:
        """What lies there for a newer version."""
        known = {entry.id for entry in self.entries()}
        return sum(
            size_of(file) or 0
            for file in files_of(self._folder)
            if file.suffix in DATA_SUFFIXES
            and file.stem not in known
            and is_newer(file.with_suffix(RECORD_SUFFIX))
        )
