"""How the machine does now: memory, heat, kills for memory, and devices that are gone.

One look, cheap enough for every few seconds. Never raises, keeps nothing open, and remembers
nothing: what can only be seen to grow is compared with the look `before`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import psutil

from localllm.events import DeviceId
from localllm.hardware.apple import SYSCTL, SYSCTL_DEADLINE_S, run_briefly
from localllm.hardware.cgroup import list_groups
from localllm.hardware.energy import Counter, EnergyReading
from localllm.hardware.linux_energy import read_energy
from localllm.hardware.linux_vitals import (
    HostMemory,
    is_asleep,
    read_host_memory,
    read_oom_kills,
    read_throttle_count,
)
from localllm.hardware.machine import Device, DeviceKind
from localllm.hardware.worked import Worked, decide_utilization, read_worked
from localllm.units import MIB, size

PRESSURE_COMMAND = (SYSCTL, "kern.memorystatus_vm_pressure_level")
THERMAL_COMMAND = ("/usr/bin/notifyutil", "-g", "com.apple.system.thermalpressurelevel")
"""For Apple's chips, of which pmset tells nothing (exelban/stats #749)."""

SPEED_COMMAND = ("/usr/bin/pmset", "-g", "therm")
"""For Intel's."""

Ask = Callable[[Sequence[str]], str]
"""Runs a command and gives what it printed: nothing if it failed or took too long."""

AskChip = Callable[[], Mapping[DeviceId, EnergyReading]]
"""Tells of the energy of Apple's chips."""


class Pressure(StrEnum):
    """How short of memory the host is; `none` also where the system does not tell."""

    NONE = "none"
    WARN = "warn"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class DeviceVitals:
    """How a device does. All None: nobody could tell, or it sleeps and was not woken to be asked."""

    lost: str | None
    """Why it does not answer any more, in words."""

    memory_free: int | None
    """Bytes; None where the driver does not tell."""

    throttled: str | None
    """Why it is slowed down, in words; None: it is not, or does not tell."""

    temperature_c: int | None
    power_w: float | None = None
    """What it draws now."""

    utilization: float | None = None
    """Share of the last second or so in which it computed, from 0 to 1."""

    energy_j: float | None = None
    """Used since its driver was loaded; None where no counter is told."""


UNTOLD = DeviceVitals(lost=None, memory_free=None, throttled=None, temperature_c=None)


@dataclass(frozen=True, slots=True)
class Vitals:
    """One look at the host, and at the devices that can be asked."""

    memory_available: int
    """Bytes that can be taken now without swapping, within the control group's limit."""

    pressure: Pressure
    pressure_why: str | None
    """The numbers, in words; None without pressure."""

    throttled: str | None
    """Why the processor is slowed down, or was since the look before, in words; None: it was
    not, or does not tell."""

    oom_kills: int | None
    """Processes that the kernel has killed for memory, ever: to be compared between looks. Of our
    control group where it counts, else of the host; None: nobody counts."""

    devices: Mapping[DeviceId, DeviceVitals]
    """CUDA devices that have a UUID, and Metal's."""

    throttle_count: int | None = None
    """How often the processor was slowed down, ever: for the next look; None: nobody counts."""

    worked: Worked | None = None
    """For the next look."""

    utilization: float | None = None
    """Share of the processors' time since the look before in which they computed, from 0 to 1; None
    for the first look, and for one that comes too soon after another."""

    energy: Mapping[DeviceId, EnergyReading] = field(default_factory=dict[DeviceId, EnergyReading])
    """Of every device that tells of it, the processor among them: to be compared between looks."""


@dataclass(frozen=True, slots=True)
class _Bound:
    pressure: Pressure
    share_left: float
    bytes_left: int
    stalled_percent: float


BOUNDS = (
    # The kernel kills at about 1 %. systemd-oomd does so after half a minute at 60 % stalled.
    _Bound(Pressure.CRITICAL, share_left=0.02, bytes_left=256 * MIB, stalled_percent=40.0),
    # Plans leave 5 %, and 1 GiB at least (decide_usable_on_host): with less left, something else
    # took it. Where all wait for one second in ten, a desktop stutters.
    _Bound(Pressure.WARN, share_left=0.05, bytes_left=512 * MIB, stalled_percent=10.0),
)
"""Worst first; any one of the three numbers is enough."""

SPENT_SHARE = 0.1
"""With less than this left of memory and of swap, earlyoom would end programs."""

FULL_SPEED = 100
"""Percent."""

_PRESSURES = {"2": Pressure.WARN, "4": Pressure.CRITICAL}
"""1 is normal. Source: XNU, bsd/kern/kern_memorystatus_notify.c."""

_THERMAL_LEVELS = {"2": "heavy", "3": "trapping", "4": "sleeping"}
"""0 is nominal; at 1, moderate, little is slowed down yet. Source: OSThermalNotification.h."""


def read_vitals(
    devices: Sequence[Device],
    *,
    before: Vitals | None = None,
    root: Path = Path("/"),
    system: str | None = None,
    ask: Ask | None = None,
    chip: AskChip = dict,
) -> Vitals:
    """Look once. Blocks, for seconds where a driver hangs: not for the event loop.

    Args:
        devices: As the probe found them.
        before: The look before this one; without it no Linux processor is seen to be throttled.
        root: Where /proc and /sys are read.
        system: "Linux" or "Darwin", as platform.system() says unless given.
        ask: What asks macOS, in a child process with a deadline; called on Darwin only.
        chip: What tells of the energy of Apple's chips; called on Darwin only.
    """
    if (system or platform.system()) == "Darwin":
        return replace(_read_mac(devices, ask or _ask, before), energy=chip())
    cards = _probe_cuda(devices, root)
    groups, worked = list_groups(root), read_worked()
    memory = read_host_memory(root, groups)
    pressure, why = decide_pressure(memory)
    count = read_throttle_count(root)
    return Vitals(
        memory_available=memory.available,
        pressure=pressure,
        pressure_why=why,
        throttled=decide_throttled(None if before is None else before.throttle_count, count),
        oom_kills=read_oom_kills(root, groups),
        devices=cards,
        throttle_count=count,
        worked=worked,
        utilization=decide_utilization(None if before is None else before.worked, worked),
        energy=read_energy(devices, _told_by(cards), root),
    )


def decide_pressure(memory: HostMemory) -> tuple[Pressure, str | None]:
    """Judge how short memory is, and say by which numbers."""
    left = _say_left(memory.available, memory.total)
    waited = f"all programs waited for memory {memory.stalled_percent} % of the last 10 s"
    for bound in BOUNDS:
        short = memory.available < max(bound.bytes_left, bound.share_left * memory.total)
        stalled = (memory.stalled_percent or 0.0) > bound.stalled_percent
        if short or stalled:
            return bound.pressure, " and ".join([left] * short + [waited] * stalled)
    if _is_swap_spent(memory):
        swap = f"{size(memory.swap_free)} of {size(memory.swap_total)} of swap"
        return Pressure.WARN, f"{left} and {swap}"
    return Pressure.NONE, None


def decide_throttled(before: int | None, now: int | None) -> str | None:
    """Say how often a processor was slowed down between two counts of it."""
    if before is None or now is None or now <= before:
        return None
    return f"slowed down to cool, {now - before}x since the last look"


def parse_pressure_level(text: str) -> Pressure:
    """Read what sysctl prints, "name: level"."""
    return _PRESSURES.get(text.rpartition(":")[2].strip(), Pressure.NONE)


def parse_thermal_level(text: str) -> str | None:
    """Read what notifyutil prints, "name level", and say so if it slows the chip down."""
    level = _THERMAL_LEVELS.get(text.partition(" ")[2].strip())
    return None if level is None else f"slowed down to cool (thermal pressure: {level})"


def parse_speed_limit(text: str) -> str | None:
    """Read what pmset prints, "CPU_Speed_Limit = percent" among others; say so below 100."""
    for line in text.splitlines():
        name, _, percent = (word.strip() for word in line.partition("="))
        if name == "CPU_Speed_Limit" and percent.isdecimal() and int(percent) < FULL_SPEED:
            return f"slowed down to {percent} % of its speed"
    return None


def _is_swap_spent(memory: HostMemory) -> bool:
    return (
        memory.available < SPENT_SHARE * memory.total
        and memory.swap_free < SPENT_SHARE * memory.swap_total
    )


def _read_mac(devices: Sequence[Device], ask: Ask, before: Vitals | None) -> Vitals:
    metal = [device.id for device in devices if device.kind is DeviceKind.METAL]
    memory = psutil.virtual_memory()
    pressure = parse_pressure_level(ask(PRESSURE_COMMAND))
    if metal:
        throttled = parse_thermal_level(ask(THERMAL_COMMAND))
    else:
        throttled = parse_speed_limit(ask(SPEED_COMMAND))
    left, worked = _say_left(memory.available, memory.total), read_worked()
    chip = DeviceVitals(
        lost=None, memory_free=memory.available, throttled=throttled, temperature_c=None
    )
    return Vitals(
        memory_available=memory.available,
        pressure=pressure,
        pressure_why=None if pressure is Pressure.NONE else f"macOS says {pressure}: {left}",
        throttled=throttled,
        oom_kills=None,
        devices=dict.fromkeys(metal, chip),
        worked=worked,
        utilization=decide_utilization(None if before is None else before.worked, worked),
    )


def _told_by(cards: Mapping[DeviceId, DeviceVitals]) -> Mapping[DeviceId, EnergyReading]:
    return {
        device: EnergyReading(
            {} if one.energy_j is None else {"card": Counter(one.energy_j)}, one.power_w
        )
        for device, one in cards.items()
    }


def _probe_cuda(devices: Sequence[Device], root: Path) -> Mapping[DeviceId, DeviceVitals]:
    cards = [d for d in devices if d.kind is DeviceKind.CUDA and d.uuid is not None]
    # NVML would wake a card that sleeps, which costs a laptop 5 W and more (beszel-docs #35).
    awake = [card for card in cards if card.pci_bus is None or not is_asleep(card.pci_bus, root)]
    vitals = dict.fromkeys((card.id for card in cards), UNTOLD)
    if not awake:
        return vitals
    # Here and not above: who has no card must not load pynvml.
    from localllm.hardware.nvidia_vitals import probe_card_vitals  # noqa: PLC0415

    return {**vitals, **probe_card_vitals(awake)}


def _say_left(available: int, total: int) -> str:
    return f"{size(available)} of {size(total)} of memory is available"


def _ask(command: Sequence[str]) -> str:
    return run_briefly([*command], deadline_s=SYSCTL_DEADLINE_S)
