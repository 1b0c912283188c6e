"""Sees when files are written into a folder, as the system tells it: no looking, which would itself cost something."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

_CREATED, _WRITTEN = 0x100, 0x8
_HEAD = struct.Struct("iIII")


@dataclass(slots=True)
class Written:
    """What was written while the watch lasted; seconds on the monotonic clock."""

    spans: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """From a file's beginning to its end."""

    def within_s(self, began: float, ended: float) -> float:
        """How much of a time was spent in writing."""
        return sum(max(0.0, min(ended, b) - max(began, a)) for a, b in self.spans)

    def count(self, began: float, ended: float) -> int:
        return sum(a <= ended and b >= began for a, b in self.spans)


def can_watch() -> bool:
    return sys.platform == "linux"


@contextmanager
def watching(folder: Path, suffix: str) -> Iterator[Written]:
    """Watch a folder, which is there, for files whose names end so.

    Raises:
        OSError: The system watches nothing (more).
    """
    written = Written()
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_CLOEXEC)
    if watch < 0 or libc.inotify_add_watch(watch, os.fsencode(folder), _CREATED | _WRITTEN) < 0:
        raise OSError(ctypes.get_errno(), f"{folder} is not watched")
    ended, end = os.pipe()
    thread = Thread(target=_watch, args=(watch, ended, suffix.encode(), written))
    thread.start()
    try:
        yield written
    finally:
        os.close(end)
        thread.join()
        os.close(ended)
        os.close(watch)


def _watch(watch: int, ended: int, suffix: bytes, written: Written) -> None:
    begun: dict[bytes, float] = {}
    while watch in select.select([watch, ended], [], [])[0]:
        now = time.monotonic()
        for what, name in _told(os.read(watch, 1 << 16)):
            if not name.endswith(suffix):
                continue
            if what & _CREATED:
                begun[name] = now
            elif name in begun:
                written.spans.append((begun.pop(name), now))


def _told(events: bytes) -> Iterator[tuple[int, bytes]]:
    """Take the kernel's `struct inotify_event`s apart."""
    at = 0
    while at < len(events):
        _, what, _, length = _HEAD.unpack_from(events, at)
        at += _HEAD.size
        yield what, events[at : at + length].rstrip(b"\0")
        at += length
