"""Room for what is to come: asked for before, reserved where the system can, and said when it ends."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import struct
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from localllm.errors import LocalLLMError, NoSpace
from localllm.units import size

SPARE_BYTES = 64 << 20
"""To leave on the disk."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_KEEP_SIZE = 1  # linux/falloc.h
_PREALLOCATE, _ALLOCATE_ALL, _FROM_END = 42, 4, 3  # sys/fcntl.h of macOS


class DiskFailed(LocalLLMError):
    """The disk does not take what came, or no longer has it, and not for lack of room."""


def lacking_bytes(folder: Path, needed: int) -> int:
    """How many bytes its disk has too few; 0 or less where it has enough."""
    return needed + SPARE_BYTES - shutil.disk_usage(folder).free


def allocated_bytes(file: Path) -> int:
    """What a file holds of the disk, which for one with holes is less than its length."""
    try:
        return file.stat().st_blocks * 512
    except OSError:
        return 0


def reserve(descriptor: int, count: int) -> None:
    """Have the system set so much aside for a file, without making it longer; not all of them can.

    Raises:
        OSError: The disk is too full.
    """
    if sys.platform == "darwin":
        with suppress(OSError):
            more = max(0, count - os.fstat(descriptor).st_blocks * 512)
            wanted = struct.pack("=Iiqqq", _ALLOCATE_ALL, _FROM_END, 0, more, 0)
            fcntl.fcntl(descriptor, _PREALLOCATE, wanted)
        return
    # not os.posix_fallocate, which writes zeros where the file system cannot
    libc = ctypes.CDLL(None, use_errno=True)
    size_ = ctypes.c_int64(count)
    if libc.fallocate(descriptor, _KEEP_SIZE, ctypes.c_int64(0), size_) != 0:
        number = ctypes.get_errno()
        if number in _FULL:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size)  # gives back what it could get
            raise OSError(number, os.strerror(number))


@contextmanager
def about_the_disk(name: str, folder: Path) -> Generator[None]:
    """Raise NoSpace, with the file and the place, where the system says that the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoSpace(
            f"The disk was full before {name} was here.",
            why=f"{folder}: {error.strerror}",
            fix="free some space there and try again: what has come is kept",
        ) from error


@contextmanager
def while_writing(name: str, folder: Path) -> Generator[None]:
    """Likewise, and raise DiskFailed where the system says something else of the disk."""
    try:
        with about_the_disk(name, folder):
            yield
    except OSError as error:
        raise DiskFailed(
            f"{name} could not be written.",
            why=f"{error.filename or folder}: {error.strerror or error}",
            fix="see whether you may write there, and whether the disk is well, then try again",
        ) from error


def require_space(name: str, folder: Path, needed: int, fix: str) -> None:
    """Refuse what its disk has no room for.

    Raises:
        NoSpace: Nothing has been written yet.
    """
    lacking = lacking_bytes(folder, needed)
    if lacking > 0:
        raise NoSpace(
            f"There is no room for {name}.",
            why=f"{folder} has {size(lacking)} too little for the {size(needed)} to come",
            fix=fix,
        )
