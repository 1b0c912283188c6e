"""What has come of a file so far: the bytes at their places, and a journal of which are here.

Written so that a process killed at any moment loses nothing: bytes first, then the journal's line,
both in the system's hands at once. A machine that loses its power may lose what the disk had not
got: the journal notes what was forced there, and after a start of the machine only that counts.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from localllm.transfer.disk import allocated_bytes, reserve
from localllm.transfer.journal import Journal, read_journal

PART_ENDING = ".part"
JOURNAL_ENDING = ".part.journal"
QUARANTINED_ENDING = ".quarantined"
"""Of contents that are not what they should be: kept beside, for whoever wants to know what came."""

DRAFT_ENDING = f".draft{JOURNAL_ENDING}"


class Part:
    """The bytes that are here of a file that is not whole yet. Close it after use.

    Args:
        whole: Where the file is to be, once it is whole; the part lies beside it.
    """

    def __init__(self, whole: Path, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.file = part_of(whole)
        self._journal_file = journal_of(whole)
        self._journal = Journal(self._journal_file, _draft_of(whole), size_bytes)
        self._descriptor = _open(self.file)
        try:
            self._take_up()
        except BaseException:
            self.close()
            raise

    @property
    def allocated_bytes(self) -> int:
        """What it holds of the disk already."""
        return allocated_bytes(self.file)

    @property
    def is_there(self) -> bool:
        """Tell whether nobody has removed it."""
        return os.fstat(self._descriptor).st_nlink > 0

    def reserve(self) -> None:
        """Set the disk's room for all of it aside."""
        reserve(self._descriptor, self.size_bytes)

    def write(self, at: int, data: bytes | memoryview) -> None:
        """Put bytes in their place, and say that they are here.

        Raises:
            OSError: The disk is full, say. What was written before is kept.
        """
        view, start = memoryview(data), at
        try:
            while view:
                written = os.pwrite(self._descriptor, view, at)
                view, at = view[written:], at + written
        finally:
            if at > start:
                self._journal.note(start, at)
                self.here.add(start, at)

    def read(self, at: int, count: int) -> bytes:
        return os.pread(self._descriptor, count, at)

    def flush(self, here: Sequence[tuple[int, int]]) -> None:
        """Have the disk get what is here; may take long, and may run beside writes."""
        os.fsync(self._descriptor)
        self._journal.draft(here)

    def note_flushed(self) -> None:
        """Say that the disk has what was here before the flush; must not run beside writes."""
        self._journal.adopt(self.here)

    def settle(self, whole: Path) -> None:
        """Give what is right its name; its bytes first, or a power cut leaves the name without them."""
        os.fsync(self._descriptor)
        if not self.is_there:  # another one may go by its name
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.file))
        self.file.replace(whole)
        _sync_folder(whole.parent)
        _remove_journal(whole)  # last, or a power cut leaves the part without it

    def set_aside(self, whole: Path, name: Path) -> None:
        """Give what is wrong another name, and begin anew; this part is of no more use."""
        _remove_journal(whole)  # first: it must not speak of the next part
        with suppress(FileNotFoundError):
            self.file.replace(name)

    def close(self) -> None:
        self._journal.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _take_up(self) -> None:
        """See what an earlier attempt has left, whatever ended it."""
        length = os.fstat(self._descriptor).st_size
        if length > self.size_bytes:
            os.ftruncate(self._descriptor, self.size_bytes)  # what follows is none of the file
        self.here, needs_sync = read_journal(self._journal_file, self.size_bytes, length)
        if needs_sync:
            os.fsync(self._descriptor)
        self._journal.begin(tuple(self.here))


def part_of(whole: Path) -> Path:
    """Where what has come of a file lies."""
    return whole.with_name(whole.name + PART_ENDING)


def journal_of(whole: Path) -> Path:
    """Where it is written down what has come."""
    return whole.with_name(whole.name + JOURNAL_ENDING)


def here_bytes(whole: Path, size_bytes: int) -> int:
    """Look how much has come of a file that somebody may be fetching."""
    with suppress(OSError):
        length = part_of(whole).stat().st_size
        return read_journal(journal_of(whole), size_bytes, length)[0].total
    return 0


def discard(whole: Path) -> None:
    """Remove what has come of a file."""
    _remove_journal(whole)
    part_of(whole).unlink(missing_ok=True)


def _remove_journal(whole: Path) -> None:
    journal_of(whole).unlink(missing_ok=True)
    _draft_of(whole).unlink(missing_ok=True)


def _draft_of(whole: Path) -> Path:
    return whole.with_name(whole.name + DRAFT_ENDING)


def _open(file: Path) -> int:
    """Open it, and no other file by way of it."""
    if file.is_symlink():
        file.unlink()
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(file, flags, 0o666)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # not all file systems have that
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
