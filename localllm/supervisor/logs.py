"""Keeps the log of a running child from filling the disk. It reads no log, and ends none."""

from __future__ import annotations

import os
from contextlib import suppress
from io import FileIO
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def cap_log(path: Path, cap_bytes: int = 16 << 20) -> bool:
    """Cut a log that has grown over the cap to nothing; its end is kept in `<name>.1`.

    The child goes on with the same file, which it must have opened for appending, as
    `process.open_log` does. Copying goes on until it has caught up with the child. Only what
    is written between the last read and the cut is lost, and nothing afterwards. Positions
    in the file from before mean nothing after a cut.

    A copy that fails, for instance for a full disk, does not keep the log from being cut.

    Returns:
        Whether it was cut; False also if the file is not there or may not be written.
    """
    try:
        with path.open("r+b", buffering=0) as log:
            size = log.seek(0, os.SEEK_END)
            if size <= cap_bytes:
                return False
            with suppress(OSError):
                _keep_end(log, size, path.with_name(f"{path.name}.1"), cap_bytes)
            log.truncate(0)
            return True
    except OSError:
        return False


def _keep_end(log: FileIO, size: int, kept: Path, cap_bytes: int) -> None:
    """Copy at most `cap_bytes`, a quarter of them left for what is written meanwhile."""
    log.seek(size - cap_bytes * 3 // 4)
    left = cap_bytes
    with kept.open("wb") as copy:
        while left and (some := log.read(min(left, _CHUNK_BYTES))):
            left -= copy.write(some)
