"""What macOS tells about an Apple chip, and how much of its memory the GPU may hold.

`parse_mac` and `metal_device` are pure; `probe_mac` asks sysctl, and MLX where it is
installed, in child processes that are ended at a deadline. Never loads Metal or MLX here.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass, replace

from localllm.events import DeviceId
from localllm.hardware.machine import Device, DeviceKind
from localllm.units import GIB, MIB

NAMES = (
    "hw.memsize",
    "machdep.cpu.brand_string",
    "hw.physicalcpu",
    "hw.perflevel0.physicalcpu",
    "iogpu.wired_limit_mb",
    "kern.osproductversion",
)
SYSCTL = "/usr/sbin/sysctl"
SYSCTL_DEADLINE_S = 2.0
METAL_DEADLINE_S = 5.0
METAL_QUESTION = (
    "import mlx.core as mx; print(mx.device_info()['max_recommended_working_set_size'])"
)


@dataclass(frozen=True, slots=True)
class Mac:
    """What sysctl and Metal told; None for what they did not."""

    chip: str | None = None
    memory_bytes: int | None = None
    cores: int | None = None
    performance_cores: int | None = None
    wired_limit_bytes: int | None = None
    """Set by the user (iogpu.wired_limit_mb); None while macOS decides."""

    os_version: str | None = None
    working_set_bytes: int | None = None
    """Metal's recommended maximum."""


def probe_mac(sysctl: str = SYSCTL) -> Mac:
    """Ask sysctl once; ask MLX only for what the user has not decided."""
    mac = parse_mac(run_briefly([sysctl, *NAMES], deadline_s=SYSCTL_DEADLINE_S))
    if not is_apple_silicon(mac) or mac.wired_limit_bytes or not importlib.util.find_spec("mlx"):
        return mac
    # Isolated, or a folder named mlx in the working directory would be run.
    metal = run_briefly([sys.executable, "-I", "-c", METAL_QUESTION], deadline_s=METAL_DEADLINE_S)
    return parse_metal(mac, metal)


def parse_mac(text: str) -> Mac:
    """Read sysctl's "name: value" lines; names that this macOS lacks are simply not there."""
    told = {
        name: value.strip()
        for line in text.splitlines()
        for name, _, value in [line.partition(": ")]
    }
    limit_mb = _count(told.get("iogpu.wired_limit_mb"))
    return Mac(
        chip=told.get("machdep.cpu.brand_string") or None,
        memory_bytes=_count(told.get("hw.memsize")),
        cores=_count(told.get("hw.physicalcpu")),
        performance_cores=_count(told.get("hw.perflevel0.physicalcpu")),
        wired_limit_bytes=None if limit_mb is None else limit_mb * MIB,
        os_version=told.get("kern.osproductversion") or None,
    )


def parse_metal(mac: Mac, text: str) -> Mac:
    """Add the working set, in bytes, that MLX printed; nothing if it printed anything else."""
    return replace(mac, working_set_bytes=_count(text.strip()))


def is_apple_silicon(mac: Mac) -> bool:
    """Tell Apple's chips from Intel's, whose GPUs no engine of ours drives."""
    return mac.chip is not None and mac.chip.startswith("Apple ")


def decide_wired_limit(mac: Mac) -> tuple[int, str] | None:
    """Say how many bytes the GPU may hold, and who said so; None if even the total is unknown.

    Source of the fallback: recommendedMaxWorkingSetSize as llama.cpp logged it on 16 and 32 GB
    (two thirds), 48, 64 and 128 GB Macs (.78 and more): low above 32 GB, never high.
    """
    if mac.wired_limit_bytes:
        return mac.wired_limit_bytes, "sysctl iogpu.wired_limit_mb"
    if mac.working_set_bytes:
        return mac.working_set_bytes, "Metal's recommended working set, asked through MLX"
    if mac.memory_bytes is None:
        return None
    if mac.memory_bytes <= 32 * GIB:
        return mac.memory_bytes * 2 // 3, "2/3 of memory, as macOS does up to 32 GB"
    return mac.memory_bytes * 3 // 4, "3/4 of memory, at most what macOS does above 32 GB"


def metal_device(mac: Mac, *, memory_free: int) -> Device | None:
    """Describe the chip's GPU, without what may be spent; None on a Mac with Intel inside."""
    if not is_apple_silicon(mac) or mac.chip is None:
        return None
    return Device(
        id=DeviceId("metal:0"),
        kind=DeviceKind.METAL,
        name=mac.chip,
        source="sysctl",
        memory_total=mac.memory_bytes,
        memory_free=memory_free,
        unified=True,
        sources={"memory_free": "psutil"},
    )


def _count(text: str | None) -> int | None:
    """Parse a positive count; 0 is how macOS says "not set"."""
    return int(text) if text is not None and text.isdecimal() and int(text) > 0 else None


def run_briefly(command: list[str], *, deadline_s: float) -> str:
    """Read what a program printed, whatever its exit code: sysctl fails for one unknown name."""
    try:
        ran = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout
