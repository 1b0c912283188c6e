"""Sizes and durations as people read them. Values stay in bytes and seconds."""

from __future__ import annotations

import signal

MIB, GIB = 1 << 20, 1 << 30


def gib(count: int) -> str:
    """Render bytes the way GPU tools do.

    >>> gib(25_769_803_776)
    '24.0 GiB'
    """
    return f"{count / GIB:.1f} GiB"


_SIGNALS: dict[int, str] = {
    signal.SIGILL: "illegal instruction: this build needs instructions that this processor lacks",
    signal.SIGABRT: "abort: a failed allocation or a failed check, see its log",
    signal.SIGBUS: "bus error: the model file was cut off, or its disk is gone",
    signal.SIGKILL: "by hand, or by the kernel when memory ran out",
    signal.SIGSEGV: "segmentation fault: a bug in the engine, or a broken file",
}


def how_it_ended(code: int) -> str:
    """Render an exit status as `subprocess` gives it: negative for a signal.

    >>> how_it_ended(-15)
    'killed by signal 15'
    """
    if code >= 0:
        return f"exited with {code}"
    known = _SIGNALS.get(-code)
    return f"killed by signal {-code}" + (f" ({known})" if known else "")


def size(count: int) -> str:
    """Render bytes in the larger of MiB and GiB that leaves a figure before the point.

    >>> size(188_743_680), size(25_769_803_776)
    ('180.0 MiB', '24.0 GiB')
    """
    return gib(count) if count >= GIB else f"{count / MIB:.1f} MiB"
