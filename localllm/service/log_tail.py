"""The end of a log that somebody else writes, caps and replaces."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from pathlib import Path

_LOOK_EVERY_S = 0.25
_CHUNK_BYTES = 1 << 16


def read_tail(file: Path, lines: int) -> tuple[bytes, int]:
    """Read the last lines, and how far the file has been read.

    Raises:
        OSError: It cannot be read.
    """
    with file.open("rb") as log:
        place = end = log.seek(0, os.SEEK_END)
        tail = b""
        while place and tail.count(b"\n") <= lines:
            size = min(place, _CHUNK_BYTES)
            place -= size
            log.seek(place)
            tail = log.read(size) + tail
    return b"".join(tail.splitlines(keepends=True)[-lines:]), end


def follow(file: Path, place: int, pause: Callable[[float], None] = time.sleep) -> Generator[bytes]:
    """Give what is written after `place`, for ever; a file that was cut is read from its beginning."""
    while True:
        try:
            with file.open("rb") as log:
                place = place if log.seek(0, os.SEEK_END) >= place else 0
                log.seek(place)
                while chunk := log.read(_CHUNK_BYTES):
                    place += len(chunk)
                    yield chunk
        except FileNotFoundError:
            place = 0  # it is between two lives
        pause(_LOOK_EVERY_S)
