"""What this machine has: host, devices, and what a plan may spend on each.

Joins what drivers, the system and our profiles tell. Loads a vendor's library only when it is
asked, and never fails for what it cannot learn: that is None, with a warning.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from localllm.hardware.apple import Mac, decide_wired_limit, metal_device, probe_mac
from localllm.hardware.cards import DEFAULT_RESERVE_BYTES, Card, find_card, read_cards
from localllm.hardware.graphics import Graphics, probe_graphics
from localllm.hardware.host import probe_host
from localllm.hardware.machine import CPU, Device, DeviceKind, Host, Machine
from localllm.paths import bundled_profiles
from localllm.units import GIB, gib

WSL_RESERVE_BYTES = 1 * GIB
"""More for Windows' own desktop, whose use WSL2 does not show and which spills silently."""

FACTS = (
    *("memory_total", "memory_free", "memory_usable", "bandwidth", "half_precision_flops"),
    *("driver", "cuda_version", "compute_capability", "uuid", "pci_bus", "power_limit_w"),
    "holders",
)


def probe_machine(
    *,
    environment: Mapping[str, str] | None = None,
    profiles: Path | None = None,
    root: Path = Path("/"),
    system: str | None = None,
    ask_mac: Callable[[], Mac] = probe_mac,
) -> Machine:
    """Probe everything once. Takes tens of milliseconds; nothing is kept open.

    Args:
        environment: os.environ unless given; CUDA_VISIBLE_DEVICES and WSL's mark count.
        profiles: The folder that holds `hardware/`; the bundled one unless given.
        root: Where /proc, /sys, /dev and /etc are read.
        system: "Linux" or "Darwin", as platform.system() says unless given.
        ask_mac: What asks macOS; called on Darwin only.

    Raises:
        ConfigError: There is an accelerator, and a hardware profile is wrong.
    """
    environment = os.environ if environment is None else environment
    mac = ask_mac() if (system or platform.system()) == "Darwin" else None
    host = probe_host(environment=environment, root=root, mac=mac)
    if mac is None:
        found, untold = _probe_cuda(environment, root)
    else:
        found, untold = _describe_metal(mac, host)
    # only now: a machine without a card need not parse what is known about cards
    cards = read_cards((profiles or bundled_profiles()) / "hardware") if found else ()
    devices = tuple(with_profile(device, cards, host, mac) for device in found)
    warnings = (*untold, *(w for device in devices for w in _warn_unknown(device)))
    every = tuple(map(_with_sources, (*devices, cpu_device(host))))
    return Machine(host, every, warnings, _undriven(root, found, environment))


def _undriven(
    root: Path, found: tuple[Device, ...], environment: Mapping[str, str]
) -> tuple[Graphics, ...]:
    """Cards that no library told of; NVIDIA's only where its driver should have, and is not hidden."""
    told = bool(found) or "CUDA_VISIBLE_DEVICES" in environment
    return tuple(c for c in probe_graphics(root) if c.vendor != "nvidia" or not told)


def decide_usable_on_card(free: int | None, total: int | None, *, reserve: int) -> int | None:
    """Leave `reserve` bytes of the card to the desktop, whether it holds them now or not."""
    if free is None or total is None:
        return None
    return max(0, min(free, total - reserve))


def decide_usable_on_host(available: int, total: int) -> int:
    """Keep 5 % of memory (1 GiB at least) for the system, but never half of what is left."""
    return available - min(host_reserve(total), available // 2)


def host_reserve(total: int) -> int:
    """What is kept for the system where nothing is short."""
    return max(GIB, total // 20)


def decide_usable_by_metal(wired_limit: int, *, available: int, total: int) -> int:
    """Give the GPU what it may wire, as far as the system can spare it."""
    return min(wired_limit, decide_usable_on_host(available, total))


def _probe_cuda(
    environment: Mapping[str, str], root: Path
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    # Here and not above: planning and the CLI import this module and must not load pynvml.
    from localllm.hardware.nvidia import probe_nvidia  # noqa: PLC0415

    return probe_nvidia(
        environment.get("CUDA_VISIBLE_DEVICES"),
        pci_order=environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID",
        root=root,
    )


def _describe_metal(mac: Mac, host: Host) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    device = metal_device(mac, memory_free=host.memory_available)
    return () if device is None else (device,), _warn_mac(mac, host.arch)


def _warn_mac(mac: Mac, arch: str) -> tuple[str, ...]:
    if mac.chip is None:
        return ("sysctl does not name this Mac's chip, so its GPU is not used.",)
    if arch == "x86_64" and "Apple" in mac.chip:
        return (
            "This Python is an Intel build under Rosetta, so engines would run without the GPU: "
            "install Python for arm64.",
        )
    return ()


def with_profile(device: Device, cards: tuple[Card, ...], host: Host, mac: Mac | None) -> Device:
    """Add what only a profile knows, and what may be spent."""
    card = find_card(
        cards,
        device.name,
        cpu_cores=None if mac is None else mac.cores,
        memory_bytes=device.memory_total,
    )
    bounded = _bounded_on_card(device, card, host) if mac is None else _bounded_by_metal(mac, host)
    profile = (
        {} if card is None else dict.fromkeys(("bandwidth", "half_precision_flops"), card.source)
    )
    return replace(
        device,
        memory_usable=bounded.usable,
        memory_reserve=bounded.reserve,
        wired_limit=bounded.wired,
        bandwidth=None if card is None else card.bandwidth,
        half_precision_flops=None if card is None else card.half_precision_flops,
        sources={**device.sources, **profile, "memory_usable": bounded.reason},
    )


@dataclass(frozen=True, slots=True)
class _Bounded:
    """What of a device's memory may be spent, in bytes."""

    usable: int | None
    reserve: int | None
    reason: str
    wired: int | None = None


def _bounded_on_card(device: Device, card: Card | None, host: Host) -> _Bounded:
    reserve = DEFAULT_RESERVE_BYTES if card is None else card.reserve_bytes
    reserve += WSL_RESERVE_BYTES if host.wsl else 0
    usable = decide_usable_on_card(device.memory_free, device.memory_total, reserve=reserve)
    kept = f", {gib(reserve)} left to the desktop" if reserve else ""
    return _Bounded(usable, reserve, device.source + kept)


def _bounded_by_metal(mac: Mac, host: Host) -> _Bounded:
    limit = decide_wired_limit(mac)
    if limit is None:
        return _Bounded(None, None, "")
    wired, source = limit
    usable = decide_usable_by_metal(wired, available=host.memory_available, total=host.memory_total)
    reason = source if usable == wired else f"psutil; {source} would allow more"
    return _Bounded(usable, host_reserve(host.memory_total), reason, wired)


def cpu_device(host: Host) -> Device:
    """The processor, and what of the host's memory may be spent."""
    usable = decide_usable_on_host(host.memory_available, host.memory_total)
    kept = gib(host.memory_available - usable)
    return Device(
        id=CPU,
        kind=DeviceKind.CPU,
        name=host.cpu or f"{host.arch} processor",
        source="psutil",
        memory_total=host.memory_total,
        memory_free=host.memory_available,
        memory_usable=usable,
        memory_reserve=host_reserve(host.memory_total),
        sources={
            "memory_total": host.sources["memory_total"],
            "memory_free": host.sources["memory_available"],
            "memory_usable": f"{host.sources['memory_available']}, {kept} left to the system",
        },
    )


def _with_sources(device: Device) -> Device:
    """Name the source of every known fact, and of no other."""
    told = {
        f: device.sources.get(f, device.source) for f in FACTS if getattr(device, f) is not None
    }
    return replace(device, sources=told)


def _warn_unknown(device: Device) -> tuple[str, ...]:
    if device.bandwidth is not None:
        return ()
    return (
        f"{device.id} ({device.name}): no profile gives its memory bandwidth, so its speed "
        "cannot be predicted before it is measured.",
    )
