"""What has come of a file so far: the bytes at their places, and a journal of which are here.

Written so that a process killed at any moment loses nothing: bytes first, then the journal's line,
both in the system's hands at once. A machine that loses its power may lose what the disk had not
got: the journal notes what was forced there, and after a start of the machine only that counts.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import psutil

from localllm.transfer.disk import allocated_bytes, reserve
from localllm.transfer.ranges import Ranges

PART_ENDING = ".part"
JOURNAL_ENDING = ".part.journal"
_HEADER = struct.Struct("<16sQ16s")
_MAGIC = b"localllm part 1\n"
_LINE = struct.Struct("<QQ")
_ON_DISK = (2**64 - 1, 0)
"""A line that says: all that is named before is on the disk."""


class Part:
    """The bytes that are here of a file that is not whole yet. Close it after use.

    Args:
        whole: Where the file is to be, once it is whole; the part lies beside it.
    """

    def __init__(self, whole: Path, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.file = part_of(whole)
        self.here = Ranges()
        self._journal_file = journal_of(whole)
        self._boot = _boot()
        self._descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._journal, self._journal_bytes = -1, 0
        try:
            self._take_up()
        except BaseException:
            self.close()
            raise

    @property
    def allocated_bytes(self) -> int:
        """What it holds of the disk already."""
        return allocated_bytes(self.file)

    def reserve(self) -> None:
        """Set the disk's room for all of it aside."""
        reserve(self._descriptor, self.size_bytes)

    def write(self, at: int, data: bytes) -> None:
        """Put bytes in their place, and say that they are here.

        Raises:
            OSError: The disk is full, say. What was written before is kept.
        """
        view, start = memoryview(data), at
        while view:
            written = os.pwrite(self._descriptor, view, at)
            view, at = view[written:], at + written
        self._note(start, at)
        self.here.add(start, at)

    def _note(self, start: int, end: int) -> None:
        if os.write(self._journal, _LINE.pack(start, end)) != _LINE.size:
            os.ftruncate(self._journal, self._journal_bytes)  # half a line would shift all others
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._journal_bytes += _LINE.size

    def read(self, at: int, count: int) -> bytes:
        return os.pread(self._descriptor, count, at)

    def flush(self) -> None:
        """Have the disk get what was written before; may take long, and may run beside writes."""
        os.fsync(self._descriptor)

    def note_flushed(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Say that these are on the disk, which were here before a flush."""
        since = b"".join(_LINE.pack(*one) for one in self.here)
        self._begin_journal(ranges, _LINE.pack(*_ON_DISK) + since)

    def clear(self) -> None:
        """Begin anew."""
        os.ftruncate(self._descriptor, 0)
        self.here.clear()
        self._begin_journal((), b"")

    def settle(self, whole: Path) -> None:
        """Give what is right its name; its bytes first, or a power cut leaves the name without them."""
        os.fsync(self._descriptor)
        self.file.replace(whole)
        self._journal_file.unlink(missing_ok=True)
        _sync_folder(whole.parent)

    def set_aside(self, name: Path) -> None:
        """Give what is wrong another name, and begin anew; this part is of no more use."""
        self.file.replace(name)
        self._journal_file.unlink(missing_ok=True)

    def close(self) -> None:
        for descriptor in (self._descriptor, self._journal):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._journal = -1

    def _take_up(self) -> None:
        """See what an earlier attempt has left, whatever ended it."""
        self.here, needs_sync = _read_journal(
            self._journal_file, self.size_bytes, os.fstat(self._descriptor).st_size
        )
        if needs_sync:
            os.fsync(self._descriptor)
        self._begin_journal(tuple(self.here), _LINE.pack(*_ON_DISK))

    def _begin_journal(self, ranges: Sequence[tuple[int, int]], rest: bytes) -> None:
        """Write a new journal in the place of the one that is there."""
        header = _HEADER.pack(_MAGIC, self.size_bytes, self._boot)
        lines = b"".join(_LINE.pack(*one) for one in ranges)
        draft = self._journal_file.with_name(f"{self._journal_file.name}.draft")
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            text = header + lines + rest
            _write_all(opened, text)
            draft.replace(self._journal_file)
        except BaseException:
            os.close(opened)
            raise
        if self._journal >= 0:
            os.close(self._journal)
        self._journal, self._journal_bytes = opened, len(text)


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
        return _read_journal(journal_of(whole), size_bytes, length)[0].total
    return 0


def discard(whole: Path) -> None:
    """Remove what has come of a file."""
    part_of(whole).unlink(missing_ok=True)
    journal_of(whole).unlink(missing_ok=True)


def _write_all(descriptor: int, text: bytes) -> None:
    if os.write(descriptor, text) != len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _read_journal(file: Path, size_bytes: int, length: int) -> tuple[Ranges, bool]:
    """Read which bytes are here, of a part of so many bytes; and whether the disk has to get some.

    What is no journal of this file counts for nothing.
    """
    nothing = Ranges(), False
    try:
        text = file.read_bytes()
    except OSError:
        return nothing
    if len(text) < _HEADER.size:
        return nothing
    magic, size, boot = _HEADER.unpack_from(text)
    if magic != _MAGIC or size != size_bytes:
        return nothing
    body = memoryview(text)[_HEADER.size :]
    lines = list(_LINE.iter_unpack(body[: len(body) // _LINE.size * _LINE.size]))
    last = max((i for i, line in enumerate(lines) if line == _ON_DISK), default=-1)
    same = boot == _boot()
    here = Ranges()
    for start, end in lines if same else lines[: last + 1]:
        if (start, end) != _ON_DISK:
            here.add(start, min(end, length, size_bytes))
    return here, same and last < len(lines) - 1


def _boot() -> bytes:
    """What tells this life of the machine from the one before."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        text = str(int(psutil.boot_time()))
    return sha256(text.encode()).digest()[:16]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # not all file systems have that
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
