"""Brings files into the page cache before somebody maps them. Blocks: call it in a thread.

By reading them. Linux takes advice (POSIX_FADV_WILLNEED) for no more than the device's
readahead at a time, 8 MiB of a file of 1 GiB when measured, and tells nobody when it is done;
macOS has no such call in Python. Where the pages are there already, it is a copy in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

_WINDOW_BYTES = 4 << 20


def read_ahead(files: Sequence[Path], limit_bytes: int, going_on: Callable[[], bool]) -> int:
    """Read the files in order, and tell how many bytes of them were read.

    A file that is gone or cannot be read is passed over, also halfway.

    Args:
        limit_bytes: In all. What the caller finds free: more would push out what serves.
        going_on: Asked before every window of 4 MiB; at the first False it ends.
    """
    window = memoryview(bytearray(_WINDOW_BYTES))
    done = 0
    for file in files:
        done += _read(file, window, limit_bytes - done, going_on)
    return done


def _read(file: Path, window: memoryview, limit_bytes: int, going_on: Callable[[], bool]) -> int:
    done = 0
    with suppress(OSError), file.open("rb", buffering=0) as opened:
        while done < limit_bytes and going_on():
            count = opened.readinto(window[: limit_bytes - done])
            if not count:
                break
            done += count
    return done
