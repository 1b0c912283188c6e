"""Puts a machine together from a host and cards, as the probe would find it idle. Asks nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from localllm.events import DeviceId
from localllm.hardware.apple import Mac
from localllm.hardware.cards import Card
from localllm.hardware.host import normal_arch
from localllm.hardware.machine import Device, DeviceKind, Host, Machine
from localllm.hardware.probe import FACTS, cpu_device, decide_usable_on_host, with_profile
from localllm.units import GIB, MIB, gib

SOURCE = "described"
HOST_CORES = 8
"""Of a processor that nobody described."""

DRIVER_BYTES = 700 * MIB
"""What NVIDIA's driver keeps of an idle card: 330 to 700 MiB, the most on an H200.

Source: "Reserved" in public reports of nvidia-smi -q.
"""

WORKING_SETS: Mapping[int, int] = {
    48: 40_200_900_000,
    64: 51 * GIB,
    128: 115_448_730_000,
    512: 498_216_210_000,
}
"""Metal's recommended maximum in bytes, by GiB of memory, as current macOS tells it.

Source: llama.cpp PR #16634 (M5 Max of 48 GB), LM Studio bug #2017 (64 GB, whole GiB), ds4
PR #893 (128 GB), a published llama-bench log of an M3 Ultra (512 GB). 16 and 32 GB were logged
too, and are what the probe's own rule gives.
"""


def make_host(
    memory_bytes: int,
    *,
    os: str = "linux",
    arch: str | None = None,
    cpu: str | None = None,
    cores: int = HOST_CORES,
) -> Host:
    """Make up the computer around the cards; all of its memory is available."""
    return Host(
        os=os,
        os_version=None,
        arch=normal_arch(arch or ("arm64" if os == "darwin" else "x86_64")),
        cpu=cpu,
        cores=cores,
        memory_total=memory_bytes,
        memory_available=memory_bytes,
        sources=dict.fromkeys(("arch", "cores", "memory_total", "memory_available"), SOURCE),
    )


def make_machine(host: Host, cards: Sequence[Card], warnings: Sequence[str] = ()) -> Machine:
    """Make up the machine; each card is of the first of its sizes, unless it shares the host's."""
    counts: Counter[DeviceKind] = Counter()
    devices: list[Device] = []
    for card in cards:
        devices.append(_make_device(card, counts[card.kind], host))
        counts[card.kind] += 1
    slow = (
        f"{device.id} ({device.name}): its memory bandwidth is not known, so its speed cannot be "
        "predicted."
        for device in devices
        if device.bandwidth is None
    )
    cpu = replace(cpu_device(host), source=SOURCE)
    return Machine(host, (*devices, cpu), (*warnings, *slow))


def _make_device(card: Card, number: int, host: Host) -> Device:
    memory = host.memory_total if card.unified else card.memory_sizes[0]
    kept = DRIVER_BYTES if card.kind is DeviceKind.CUDA and not card.unified else 0
    bare = Device(
        id=DeviceId(f"{card.kind}:{number}"),
        kind=card.kind,
        name=card.title,
        source=SOURCE,
        memory_total=memory,
        memory_free=max(0, memory - kept),
        unified=card.unified,
        compute_capability=card.compute_capability,
    )
    device = _with_usable(bare, card, host)
    known = (fact for fact in FACTS if getattr(device, fact) is not None)
    told = {fact: device.sources.get(fact, card.source) for fact in known}
    return replace(device, sources=told)


def _with_usable(device: Device, card: Card, host: Host) -> Device:
    """Let the probe decide, as far as it can be asked about what is not there."""
    if card.kind is DeviceKind.METAL:
        return _with_working_set(device, card, host)
    device = with_profile(device, (card,), host, None)
    if not card.unified:
        return device
    usable = decide_usable_on_host(host.memory_available, host.memory_total)
    reason = f"{SOURCE}, {gib(host.memory_available - usable)} left to the system"
    return replace(
        device, memory_usable=usable, sources={**device.sources, "memory_usable": reason}
    )


def _with_working_set(device: Device, card: Card, host: Host) -> Device:
    logged = WORKING_SETS.get(round(host.memory_total / GIB))
    mac = Mac(
        chip=card.title,
        memory_bytes=host.memory_total,
        cores=card.cpu_cores,
        working_set_bytes=logged,
    )
    device = with_profile(device, (card,), host, mac)
    if logged is None:
        return device
    reason = "Metal's recommended working set, as logged on a Mac of this size"
    return replace(device, sources={**device.sources, "memory_usable": reason})
