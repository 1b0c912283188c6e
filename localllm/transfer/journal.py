"""Which bytes of a part are here, written down as they come.

A line names a range; it is in the system's hands at once, and outlives the process. A line of
another kind says that the disk has all that is named before: only that outlives the machine.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import psutil

from localllm.transfer.ranges import Ranges

_HEADER = struct.Struct("<16sQ16s")
_MAGIC = b"localllm part 1\n"
_LINE = struct.Struct("<QQ")
_ON_DISK = _LINE.pack(2**64 - 1, 0)
_MOST_BYTES = 16 << 20
"""A file that is longer is none of ours: each of ours is shortened long before."""


class Journal:
    """Of one part. Close it after use.

    Args:
        draft: Where a new one is written, before it takes the place of the one that is there.
    """

    def __init__(self, file: Path, draft: Path, size_bytes: int) -> None:
        self._file, self._draft = file, draft
        self._header = _HEADER.pack(_MAGIC, size_bytes, life_of(file.parent))
        self._descriptor = self._next = -1
        self._length = 0

    def begin(self, here: Sequence[tuple[int, int]]) -> None:
        """Write a new one, of what the disk has."""
        self.draft(here)
        self.adopt(())

    def note(self, start: int, end: int) -> None:
        """Say that these bytes are here.

        Raises:
            OSError: The disk is full, say; then nothing was said.
        """
        line = _LINE.pack(start, end)
        if os.write(self._descriptor, line) != len(line):
            os.ftruncate(self._descriptor, self._length)  # half a line would shift all others
            raise _full()
        self._length += len(line)

    def draft(self, here: Sequence[tuple[int, int]]) -> None:
        """Write what the disk has, so that the disk has this, too; may run beside `note`."""
        self._draft.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._next = os.open(self._draft, flags, 0o666)
        try:
            _write_all(self._next, self._header + _packed(here) + _ON_DISK)
            if here:
                os.fsync(self._next)
        except BaseException:
            self._drop_draft()
            raise

    def adopt(self, here: Iterable[tuple[int, int]]) -> None:
        """Put the draft in the place of the old one, with what has come meanwhile."""
        try:
            _write_all(self._next, _packed(here))
            self._draft.replace(self._file)
        except BaseException:
            self._drop_draft()
            raise
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._next = self._next, -1
        self._length = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        if self._next >= 0:
            self._drop_draft()
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _drop_draft(self) -> None:
        os.close(self._next)
        self._next = -1
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)


def read_journal(file: Path, size_bytes: int, length: int) -> tuple[Ranges, bool]:
    """Read which bytes are here, of a part of so many bytes; and whether the disk lacks some.

    What is no journal of this file counts for nothing.
    """
    here = Ranges()
    text = _read(file)
    if len(text) < _HEADER.size:
        return here, False
    magic, size, booted = _HEADER.unpack_from(text)
    if magic != _MAGIC or size != size_bytes:
        return here, False
    body = text[_HEADER.size :]
    flushed = _flushed_bytes(body)
    same = booted == life_of(file.parent)
    counts = body[: len(body) // _LINE.size * _LINE.size] if same else body[:flushed]
    for start, end in _LINE.iter_unpack(counts):
        here.add(start, min(end, length, size_bytes))
    return here, same and flushed < len(counts)


def life_of(folder: Path) -> bytes:
    """What tells this life of a disk from the one before: since the machine began, or it was put in.

    A drive that was pulled out has lost what it had not got, as a machine without power has.
    """
    return sha256(f"{boot()} {_mounted(folder)}".encode()).digest()[:16]


def boot() -> str:
    """What tells this life of the machine from the one before."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return str(int(psutil.boot_time()))


def _mounted(folder: Path) -> str:
    """Which file system it is on: its number, which time it was mounted, which time put in."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return ""
    try:
        device = os.fstat(descriptor).st_dev
        told = _text(Path(f"/proc/self/fdinfo/{descriptor}"))
    finally:
        os.close(descriptor)
    mount = next((line for line in told.splitlines() if line.startswith("mnt_id:")), "")
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    put_in = _text(block / "diskseq") or _text(
        block / ".." / "diskseq"
    )  # or of its partition's disk
    return f"{device} {mount} {put_in}"


def _text(file: Path) -> str:
    """What the system says there; nothing where it is another one, or an older."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            text = opened.read(_MOST_BYTES + 1)
    except OSError:
        return b""
    return text if len(text) <= _MOST_BYTES else b""


def _flushed_bytes(body: bytes) -> int:
    """How long the lines are that the disk had; those that come after count in this life alone."""
    at = len(body)
    while (at := body.rfind(_ON_DISK, 0, at)) >= 0:
        if at % _LINE.size == 0:
            return at + _LINE.size
        at += _LINE.size - 1
    return 0


def _packed(here: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(_LINE.pack(*one) for one in here)


def _write_all(descriptor: int, text: bytes) -> None:
    if os.write(descriptor, text) != len(text):
        raise _full()


def _full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
