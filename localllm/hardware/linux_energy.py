"""What Linux's files tell of the energy that processors, and AMD's and Intel's cards, use.

Reads /sys and judges nothing. A file that is not there tells nothing; nor does one that only root may
read, as a processor's counters mostly are (CVE-2020-8694). Wakes no card that sleeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from localllm.events import DeviceId
from localllm.hardware.energy import Counter, EnergyReading
from localllm.hardware.graphics import Graphics, probe_graphics
from localllm.hardware.linux_vitals import is_asleep
from localllm.hardware.machine import CPU, Device, DeviceKind

_MICRO = 1_000_000
_NOTHING = EnergyReading()
_DRIVERS: Mapping[DeviceKind, Mapping[str, Sequence[str]]] = {
    DeviceKind.ROCM: {"amd": ("",)},
    DeviceKind.VULKAN: {"amd": ("amd", "radeon"), "intel": ("intel", "arc")},
}
"""By kind of device: whose card it may be, and words of which one is then in its name."""


def read_energy(
    devices: Sequence[Device], told: Mapping[DeviceId, EnergyReading], root: Path
) -> Mapping[DeviceId, EnergyReading]:
    """Read what all of these devices and the processor tell; those that tell nothing are left out.

    Args:
        told: What drivers have said already.
    """
    of_files = {d.id: read_card(d, devices, root) for d in devices if d.kind in _DRIVERS}
    found = {**told, **of_files, CPU: read_processor(root)}
    return {d: one for d, one in found.items() if one is not None and one != _NOTHING}


def read_processor(root: Path) -> EnergyReading | None:
    """Read the counters of all packages, and of memory where that has one; None where none is told.

    What a package counts has its cores and its graphics in it. `psys`, which counts all of a laptop,
    and the second way to the same counters (intel-rapl-mmio) are left out.

    Source: Linux, Documentation/power/powercap/powercap.rst.
    """
    counters = dict(_zones(root / "sys/class/powercap"))
    return EnergyReading(counters) if counters else None


def read_card(device: Device, devices: Sequence[Device], root: Path) -> EnergyReading | None:
    """Read what the card of a device tells; None where it is not known which card that is."""
    cards = [card for card in probe_graphics(root) if card.discrete and _may_be(device, card)]
    if len(cards) != 1 or cards[0].pci_bus is None or is_asleep(cards[0].pci_bus, root):
        return None
    if sum(one.kind is device.kind and _may_be(one, cards[0]) for one in devices) != 1:
        return None
    folder = root / "sys/bus/pci/devices" / cards[0].pci_bus / "hwmon"
    for monitor in _folders(folder):
        told = _read_monitor(monitor)
        if told is not None:
            return told
    return None


def _may_be(device: Device, card: Graphics) -> bool:
    words = _DRIVERS.get(device.kind, {}).get(card.vendor, ())
    return any(word in device.name.lower() for word in words)


def _zones(folder: Path) -> Iterator[tuple[str, Counter]]:
    for zone in _folders(folder):
        name = _word(zone / "name") or ""
        if not zone.name.startswith("intel-rapl:") or not name.startswith(("package", "dram")):
            continue
        counted, wraps = _count(zone / "energy_uj"), _count(zone / "max_energy_range_uj")
        if counted is not None:
            whole = None if wraps is None else wraps / _MICRO
            yield zone.name, Counter(counted / _MICRO, whole)


def _read_monitor(monitor: Path) -> EnergyReading | None:
    """Read hwmon's files of one card, in microjoules and microwatts (Documentation/hwmon/sysfs)."""
    counted = _count(monitor / "energy1_input")
    drawn = _count(monitor / "power1_average")
    drawn = _count(monitor / "power1_input") if drawn is None else drawn
    if counted is None and drawn is None:
        return None
    return EnergyReading(
        {} if counted is None else {"card": Counter(counted / _MICRO)},
        None if drawn is None else drawn / _MICRO,
    )


def _folders(folder: Path) -> Sequence[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return ()


def _count(file: Path) -> int | None:
    text = _word(file)
    return int(text) if text is not None and text.isdecimal() else None


def _word(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
