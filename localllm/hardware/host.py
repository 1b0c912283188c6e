"""The computer around the devices: processor, cores, memory, system.

What a container or a scheduler allows counts, not what is built in. Never measures speed.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import psutil

from localllm.hardware.apple import Mac
from localllm.hardware.cgroup import Limits, read_limits
from localllm.hardware.machine import Host

_ARCHITECTURES = {"amd64": "x86_64", "aarch64": "arm64"}


def probe_host(
    *, environment: Mapping[str, str], root: Path = Path("/"), mac: Mac | None = None
) -> Host:
    """Describe this computer; `mac` is what sysctl told, None where there is none to ask."""
    limits = read_limits(root)
    memory = psutil.virtual_memory()
    total = _narrower(memory.total, limits.memory)
    available = _narrower(min(memory.available, total), limits.memory_left)
    cores, cores_source = _probe_cores(limits, mac)
    host = Host(
        os=platform.system().lower() if mac is None else "darwin",
        os_version=read_os_version(root) if mac is None else mac.os_version,
        arch=normal_arch(platform.machine()),
        cpu=read_cpu_name(root) if mac is None else mac.chip,
        cores=cores,
        memory_total=total,
        memory_available=available,
        wsl=is_wsl(root, environment),
    )
    sources = {
        "os_version": "/etc/os-release" if mac is None else "sysctl kern.osproductversion",
        "cpu": "/proc/cpuinfo" if mac is None else "sysctl machdep.cpu.brand_string",
        "cores": cores_source,
        "memory_total": "psutil" if total == memory.total else "control group",
        "memory_available": "psutil" if available == memory.available else "control group",
    }
    known = {fact: told for fact, told in sources.items() if getattr(host, fact) is not None}
    return replace(host, sources=known)


def decide_cores(physical: int, *, allowed: int | None, quota: float | None) -> int:
    """Count the cores worth a thread: `allowed` by affinity, `quota` by the control group."""
    return max(1, min(physical, allowed or physical, int(quota or physical)))


def is_wsl(root: Path, environment: Mapping[str, str]) -> bool:
    """Tell WSL2 from other Linux, and from a container whose host's kernel is Microsoft's."""
    kernel = _read(root / "proc/sys/kernel/osrelease").casefold()
    signs = (root / "dev/dxg").exists() or "WSL_DISTRO_NAME" in environment
    return "microsoft" in kernel and signs


def read_cpu_name(root: Path) -> str | None:
    """Read the processor's name from /proc/cpuinfo; None on most ARM boards, which have none."""
    for line in _read(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return " ".join(value.split())
    return None


def read_os_version(root: Path) -> str | None:
    """Read the distribution's name and version from /etc/os-release."""
    for line in _read(root / "etc/os-release").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip().strip("\"'") or None
    return None


def normal_arch(machine: str) -> str:
    """Name an architecture as macOS does, whatever this system calls it."""
    return _ARCHITECTURES.get(machine.lower(), machine.lower())


def _probe_cores(limits: Limits, mac: Mac | None) -> tuple[int, str]:
    if mac is not None and mac.performance_cores:
        # A thread on an efficiency core makes all others wait for it.
        return mac.performance_cores, "sysctl hw.perflevel0.physicalcpu (performance cores)"
    physical = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    cores = decide_cores(physical, allowed=allowed, quota=limits.cpus)
    if cores == physical:
        return cores, "psutil"
    return cores, "affinity" if cores == allowed else "control group"


def _narrower(count: int, limit: int | None) -> int:
    return count if limit is None else min(count, limit)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
