"""What the control groups around this process allow it: memory and processor time.

Reads version 1, version 2 and the mix of both; every ancestor counts. Never writes, and a
group that cannot be read limits nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class Limits:
    """The narrowest limits of all ancestors; None where nobody set one."""

    memory: int | None = None
    memory_left: int | None = None
    """Bytes until the first limit is met, with file caches that the kernel would drop."""

    cpus: float | None = None
    """Processors' worth of time, as in 1.5."""


@dataclass(frozen=True, slots=True)
class _Names:
    limit: str
    usage: str
    inactive_file: str


_MEMORY = (
    _Names("memory.max", "memory.current", "inactive_file"),
    _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
_UNLIMITED = 1 << 60
"""Version 1 writes a number near 2^63 where version 2 writes "max"."""


def read_limits(root: Path = Path("/")) -> Limits:
    """Read what bounds this process, from /proc/self/cgroup up to the mounts' roots."""
    groups = list_groups(root)
    limit, left = read_memory_limits(groups)
    cpus = [c for group in groups if (c := _read_cpus(group)) is not None]
    return Limits(memory=limit, memory_left=left, cpus=min(cpus, default=None))


def list_groups(root: Path = Path("/")) -> tuple[Path, ...]:
    """List the folders of our groups and their ancestors, the innermost first."""
    return tuple(_groups(root))


def read_memory_limits(groups: Sequence[Path]) -> tuple[int | None, int | None]:
    """Read the narrowest limit, and how much is left until the first is met."""
    memory = [m for group in groups for names in _MEMORY if (m := _read_memory(group, names))]
    return (
        min((limit for limit, _ in memory), default=None),
        min((left for _, left in memory if left is not None), default=None),
    )


def _groups(root: Path) -> Iterator[Path]:
    """List the folders of our groups and their ancestors, those that exist.

    In a container the path may be one of the host's, of which only the mount's root is here.
    """
    mounts = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        places = (
            (mounts, mounts / "unified")
            if controllers == ""
            else tuple(mounts / name for name in {controllers, *controllers.split(",")})
        )
        inner = PurePosixPath(path.lstrip("/"))
        if ".." in inner.parts:
            inner = PurePosixPath()
        for place in places:
            for folder in (inner, *inner.parents):
                if (place / folder).is_dir():
                    yield place / folder


def _read_memory(group: Path, names: _Names) -> tuple[int, int | None] | None:
    """Read a group's limit, and how much of it is left."""
    limit = _number(_read(group / names.limit))
    if limit is None or limit >= _UNLIMITED:
        return None
    usage = _number(_read(group / names.usage))
    if usage is None:
        return limit, None
    statistics = dict(
        line.split(maxsplit=1) for line in _read(group / "memory.stat").splitlines() if " " in line
    )
    cached = _number(statistics.get(names.inactive_file, "")) or 0
    return limit, max(0, limit - usage + cached)


def _read_cpus(group: Path) -> float | None:
    quota, _, period = _read(group / "cpu.max").partition(" ")
    if not quota:
        quota = _read(group / "cpu.cfs_quota_us")
        period = _read(group / "cpu.cfs_period_us")
    allowed, per = _number(quota), _number(period)
    return allowed / per if allowed and per else None


def _number(text: str) -> int | None:
    """Parse a count; "max", -1 and an absent file are no limit."""
    return int(text) if text.strip().isdecimal() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
