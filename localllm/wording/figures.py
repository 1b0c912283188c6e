"""Sizes, times, speeds and counts as people read them; a dash where they are unknown. Pure."""

from __future__ import annotations

from localllm.units import GIB, KIB, MIB, duration, size

DASH = "-"
_MINUTE_S, _HOUR_S = 60, 3600
_LONGEST_S = 100 * _HOUR_S
_SHORT_S = 10
"""A time below that has a tenth."""


def size_of(count: int | None) -> str:
    """Render bytes."""
    return DASH if count is None else size(count)


def speed_of(tps: float | None) -> str:
    """Render tokens per second."""
    return DASH if tps is None else f"{tps:.0f} tok/s"


def percent(share: float | None) -> str:
    """Render a share from 0 to 1."""
    return DASH if share is None else f"{100 * share:.0f}%"


def number_of(count: int | None) -> str:
    """Render a count as it is typed."""
    return DASH if count is None else str(count)


def count_of(count: int | None) -> str:
    """Render a count as it is read.

    >>> count_of(16384)
    '16,384'
    """
    return DASH if count is None else f"{count:,}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Render a count with what is counted.

    Args:
        many: What several are called; None: as one, with an s.

    >>> counted(1, "file"), counted(0, "file"), counted(2, "process", "processes")
    ('1 file', '0 files', '2 processes')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def duration_of(seconds: float | None) -> str:
    """Render seconds: below ten with a tenth, above in minutes, hours and days."""
    if seconds is None:
        return DASH
    return f"{seconds:.1f} s" if seconds < _SHORT_S else duration(seconds)


def short_duration(seconds: float) -> str:
    """Render seconds in six columns.

    >>> short_duration(9.51), short_duration(75), short_duration(3720)
    ('9.5 s', '1m15s', '1h02m')
    """
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), _MINUTE_S)
    if seconds < _HOUR_S:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, _MINUTE_S)
    return f"{hours}h{minutes:02}m"


def left(seconds: float | None) -> str:
    """Render a time that is guessed, in six columns: never less than a second.

    >>> left(0.2), left(74.5), left(1e6)
    ('1 s', '1m15s', 'days')
    """
    if seconds is None:
        return DASH
    rounded = int(seconds) + 1
    if rounded < _MINUTE_S:
        return f"{rounded} s"
    return short_duration(rounded) if rounded < _LONGEST_S else "days"


def rate(bytes_per_s: float | None) -> str:
    """Render bytes per second.

    >>> rate(40 * 1024)
    '40.0 KiB/s'
    """
    if bytes_per_s is None:
        return DASH
    unit, name = _unit(bytes_per_s)
    return f"{bytes_per_s / unit:.1f} {name}/s"


def share_of(here: int, whole: int) -> float:
    """How much of something is here; all of nothing."""
    return min(1.0, here / whole) if whole else 1.0


def percent_of(here: int, whole: int) -> str:
    """Render how much of something is here: 100% only when nothing lacks."""
    return f"{int(100 * share_of(here, whole))}%"


def part_of(here: int, whole: int, between: str = " of ") -> str:
    """Render how many of how many bytes are here.

    >>> part_of(GIB, 4 * GIB), part_of(GIB, 4 * GIB, "/"), part_of(GIB, GIB)
    ('1.0 of 4.0 GiB', '1.0/4.0 GiB', '1.0 GiB')
    """
    if here >= whole:
        return size(whole)
    unit, name = _unit(whole)
    return f"{here / unit:.1f}{between}{whole / unit:.1f} {name}"


def _unit(count: float) -> tuple[int, str]:
    if count >= GIB:
        return GIB, "GiB"
    return (MIB, "MiB") if count >= MIB else (KIB, "KiB")
