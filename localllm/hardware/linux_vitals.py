"""What Linux's own files tell about how the machine does: memory, waiting, kills, heat, sleep.

Reads /proc, /sys and the control groups around this process; judges nothing. A file that is not
there or cannot be read tells nothing.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from localllm.hardware.cgroup import read_memory_limits


@dataclass(frozen=True, slots=True)
class HostMemory:
    """How much of the host's memory is left, in bytes, and who waits for it."""

    total: int
    """The control group's limit where that is lower."""

    available: int
    swap_total: int = 0
    swap_free: int = 0
    stalled_percent: float | None = None
    """Of the last 10 s, in which every program waited for memory; None: the kernel does not tell."""


def read_host_memory(root: Path, groups: Sequence[Path]) -> HostMemory:
    """Read what is left; of the host's and the groups' waiting, the worst counts."""
    limit, left = read_memory_limits(groups)
    memory = psutil.virtual_memory()
    total = _least(memory.total, limit)
    meminfo = _read(root / "proc/meminfo")
    waiting = (f"{root}/proc/pressure/memory", *(f"{group}/memory.pressure" for group in groups))
    stalled = [s for path in waiting if (s := parse_stalled(_read(path))) is not None]
    return HostMemory(
        total=total,
        available=_least(memory.available, total, left),
        swap_total=(parse_count(meminfo, "SwapTotal:") or 0) * 1024,
        swap_free=(parse_count(meminfo, "SwapFree:") or 0) * 1024,
        stalled_percent=max(stalled, default=None),
    )


def read_oom_kills(root: Path, groups: Sequence[Path]) -> int | None:
    """Count the processes that the kernel has killed for memory.

    The nearest group that counts is asked, its children included, or else the host: what was
    killed elsewhere must not look like ours.
    """
    names = ("memory.events", "memory.oom_control")
    counted = (f"{group}/{name}" for group in groups for name in names)
    counts = (
        parse_count(_read(path), "oom_kill")
        for path in itertools.chain(counted, [f"{root}/proc/vmstat"])
    )
    return next((count for count in counts if count is not None), None)


def read_throttle_count(root: Path) -> int | None:
    """Count how often the processor was slowed down to cool; None where nobody counts.

    Every processor keeps a count of its own of what its package did: the largest is taken.
    AMD's and most virtual machines' keep none.
    """
    counts = (
        _read(f"{root}/sys/devices/system/cpu/cpu{number}/thermal_throttle/package_throttle_count")
        for number in itertools.count()
    )
    return max(map(int, itertools.takewhile(str.isdecimal, counts)), default=None)


def is_asleep(pci_bus: str, root: Path) -> bool:
    """Tell whether a card is powered down, as a laptop's is when idle.

    `pci_bus` as NVML writes it: eight digits of the domain where Linux has four, in capitals.
    """
    domain, _, place = pci_bus.lower().partition(":")
    folder = root / "sys/bus/pci/devices" / f"{domain[-4:]}:{place}"
    return _read(folder / "power/runtime_status") == "suspended"


def parse_stalled(text: str) -> float | None:
    """Read "full avg10" of a pressure file: how long all waited, in percent of the last 10 s."""
    for line in text.splitlines():
        kind, _, averages = line.partition(" avg10=")
        if kind == "full":
            return float(averages.split()[0])
    return None


def parse_count(text: str, name: str) -> int | None:
    """Read one count of a file whose lines are names and counts."""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    return None


def _least(*counts: int | None) -> int:
    return min(count for count in counts if count is not None)


def _read(path: Path | str) -> str:
    """Read a file of the kernel's; without a buffer, a third of what Path.read_text costs."""
    try:
        with io.FileIO(path) as file:
            return file.readall().decode(errors="replace").strip()
    except OSError:  # also while reading, as from /proc/pressure where the kernel keeps none
        return ""
