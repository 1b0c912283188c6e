"""Keeps logs from filling the disk: of a running child, and of all that ever ran. It reads none, and ends none."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path

_CHUNK_BYTES = 1 << 20
_ENDINGS = (".log", ".log.1")


def tend_logs(folder: Path, used: Collection[Path], read: Collection[Path]) -> Sequence[Path]:
    """Cut those in use that have grown too large, and remove the oldest of the others.

    Args:
        read: Of those in use, the ones that are being read, and not to be cut.

    Returns:
        What was cut.
    """
    cut = [log for log in used if log not in read and cap_log(log)]
    prune_logs(folder, used)
    return cut


def prune_logs(
    folder: Path, used: Collection[Path], *, most: int = 100, most_bytes: int = 256 << 20
) -> None:
    """Remove logs of engines that are no more, the longest untouched first, until few are left.

    Args:
        used: Stay, and so does their `.1`; they count all the same.
        most: How many files may be there.
        most_bytes: What all of them may take.
    """
    logs = sorted(_logs_in(folder), key=lambda log: log[1].st_mtime_ns)
    count, total = len(logs), sum(found.st_size for _, found in logs)
    spared = {*used, *(log.with_name(f"{log.name}.1") for log in used)}
    for log, found in logs:
        if count <= most and total <= most_bytes:
            return
        if log not in spared:
            with suppress(OSError):
                log.unlink()
                count, total = count - 1, total - found.st_size


def _logs_in(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """List those that are named as ours are; no link is one."""
    try:
        with os.scandir(folder) as entries:
            found = [(Path(e.path), e.stat(follow_symlinks=False)) for e in entries]
    except OSError:
        return []
    return [one for one in found if one[0].name.endswith(_ENDINGS) and stat.S_ISREG(one[1].st_mode)]


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
