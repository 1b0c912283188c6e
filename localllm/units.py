"""Sizes and durations as people read them. Values stay in bytes and seconds."""

from __future__ import annotations

import math
import re
import signal

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


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
    """Render bytes in the largest unit that they reach: GiB with a tenth, below that whole MiB or KiB.

    >>> size(188_743_680), size(25_769_803_776), size(5000), size(0)
    ('180 MiB', '24.0 GiB', '5 KiB', '0 MiB')
    """
    if count >= GIB:
        return gib(count)
    if 0 < count < MIB:
        return f"{-(-count // KIB)} KiB"  # something is never 0
    return f"{count / MIB:.0f} MiB"


_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


DURATION = r"^(forever|[0-9]{1,9}[smhd]?)\Z"
"""What `parse_duration` reads."""


def parse_duration(text: str) -> float:
    """Parse "90", "90s", "15m", "2h" or "1d" into seconds, and "forever" into infinity.

    Raises:
        ValueError: It is anything else; the message names what is allowed.
    """
    if text == "forever":
        return math.inf
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    if found is None:
        raise ValueError(
            f"{text[:40]!r} is no duration; allowed are seconds (90 or 90s), minutes (15m), "
            "hours (2h), days (1d), and forever"
        )
    return float(int(found[1]) * _UNITS_S[found[2]])


def duration(seconds: float) -> str:
    """Render whole seconds in the largest unit they reach, and the next smaller one.

    >>> duration(90), duration(5400), duration(86400), duration(math.inf)
    ('1 min 30 s', '1 h 30 min', '1 d', 'forever')
    """
    if math.isinf(seconds):
        return "forever"
    minutes, whole_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (whole_s, "s"))
    first = next((i for i, (count, _) in enumerate(parts) if count), len(parts) - 1)
    shown = [parts[first], *(part for part in parts[first + 1 : first + 2] if part[0])]
    return " ".join(f"{count} {unit}" for count, unit in shown)
