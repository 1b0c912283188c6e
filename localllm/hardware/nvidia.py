"""What NVIDIA's driver tells about its cards; the only door to NVML.

Answers with the visible cards in PCI order, and with a sentence for every fact it was
refused. Never raises, never leaves NVML open, never starts CUDA, which would take memory.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pynvml  # type: ignore[import-untyped]

from localllm.events import DeviceId
from localllm.hardware.machine import Device, DeviceKind, Holder
from localllm.hardware.visibility import decide_visible

SOURCE = "NVML"
SIGNS = ("dev/nvidiactl", "proc/driver/nvidia", "dev/dxg")
"""Any of them: a card may be here. /dev/dxg is WSL2's door to every vendor's cards."""

T = TypeVar("T")
Found = tuple[tuple[Device, ...], tuple[str, ...]]


@dataclass(slots=True)
class _Interview:
    """Asks, and remembers what was refused: from NVML's reason to the facts."""

    refused: dict[str, list[str]] = field(default_factory=dict)

    def ask(
        self, fact: str, question: Callable[..., T], *about: object, optional: bool = False
    ) -> T | None:
        """Put one question; a refusal is None.

        `optional`: many cards lack the fact, so "Not Supported" is no news.
        """
        try:
            return question(*about)
        except UnicodeDecodeError:  # WSL2's NVML has returned garbage for a name
            reason = "the driver's answer is not text"
        except pynvml.NVMLError as refusal:
            if optional and refusal.value == pynvml.NVML_ERROR_NOT_SUPPORTED:
                return None
            reason = str(refusal)
        self.refused.setdefault(reason, []).append(fact)
        return None

    def was_refused(self, fact: str) -> bool:
        return any(fact in facts for facts in self.refused.values())

    def warnings(self, about: str) -> tuple[str, ...]:
        return tuple(
            f"{about}: {_join(facts)} could not be read ({reason}){_consequence(facts)}."
            for reason, facts in self.refused.items()
        )


@dataclass(frozen=True, slots=True)
class _Card:
    """A card that answered at all, before its facts are asked for."""

    handle: Any
    name: str
    uuid: str | None
    pci_bus: str | None
    interview: _Interview


@dataclass(frozen=True, slots=True)
class _Driver:
    version: str | None
    cuda: str | None


def probe_nvidia(visible: str | None, *, pci_order: bool = False, root: Path = Path("/")) -> Found:
    """Describe the cards that CUDA would show, and say what could not be learned.

    `visible` is CUDA_VISIBLE_DEVICES, `pci_order` whether CUDA_DEVICE_ORDER is PCI_BUS_ID.
    Cards keep their number in the whole machine's PCI order, hidden ones or not.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return (), _warn_no_library(root)
    except pynvml.NVMLError as refusal:
        return (), (_say_broken(refusal),)
    try:
        return _probe_open(visible, pci_order=pci_order)
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _probe_open(visible: str | None, *, pci_order: bool) -> Found:
    system = _Interview()
    cards = _probe_cards(system)
    shown = decide_visible(
        visible,
        names=[card.name for card in cards],
        uuids=[card.uuid for card in cards],
        pci_order=pci_order,
    )
    if not shown.numbers:
        return (), (*system.warnings("NVIDIA driver"), *shown.warnings)
    driver = _probe_driver(system)
    devices = {n: _probe_device(cards[n], n, driver) for n in sorted(shown.numbers)}
    return tuple(devices.values()), (
        *system.warnings("NVIDIA driver"),
        *shown.warnings,
        *(
            warning
            for n, device in devices.items()
            for warning in cards[n].interview.warnings(f"{device.id} ({device.name})")
        ),
    )


def _probe_cards(system: _Interview) -> list[_Card]:
    """Find all cards. NVML promises no order, so the bus decides; those without come last."""
    count = system.ask("the number of cards", pynvml.nvmlDeviceGetCount) or 0
    cards = []
    for index in range(count):
        handle = system.ask(f"card {index}", pynvml.nvmlDeviceGetHandleByIndex, index)
        if handle is not None:
            cards.append(_probe_identity(handle))
    return sorted(cards, key=lambda card: (card.pci_bus is None, card.pci_bus or ""))


def _probe_identity(handle: Any) -> _Card:  # noqa: ANN401  # pynvml has no types
    interview = _Interview()
    pci = interview.ask("PCI bus", pynvml.nvmlDeviceGetPciInfo, handle)
    return _Card(
        handle,
        name=interview.ask("name", pynvml.nvmlDeviceGetName, handle) or "NVIDIA card",
        uuid=interview.ask("UUID", pynvml.nvmlDeviceGetUUID, handle),
        pci_bus=None if pci is None else pci.busId,
        interview=interview,
    )


def _probe_driver(system: _Interview) -> _Driver:
    cuda = system.ask("CUDA version", pynvml.nvmlSystemGetCudaDriverVersion_v2)
    return _Driver(
        system.ask("driver version", pynvml.nvmlSystemGetDriverVersion),
        None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
    )


def _probe_device(card: _Card, number: int, driver: _Driver) -> Device:
    ask, handle = card.interview.ask, card.handle
    # Not the _v2 question: it splits `used`, which nobody here reads, and old drivers lack it.
    memory = ask("memory", pynvml.nvmlDeviceGetMemoryInfo, handle)
    capability = ask("compute capability", pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    limit_mw = ask("power limit", pynvml.nvmlDeviceGetEnforcedPowerLimit, handle, optional=True)
    return Device(
        id=DeviceId(f"cuda:{number}"),
        kind=DeviceKind.CUDA,
        name=card.name,
        source=SOURCE,
        memory_total=None if memory is None else memory.total,
        memory_free=None if memory is None else memory.free,
        driver=driver.version,
        cuda_version=driver.cuda,
        compute_capability=None if capability is None else ".".join(map(str, capability)),
        uuid=card.uuid,
        pci_bus=card.pci_bus,
        power_limit_w=None if limit_mw is None else limit_mw / 1000,
        holders=_probe_holders(card),
    )


def _probe_holders(card: _Card) -> tuple[Holder, ...] | None:
    """Merge compute and graphics processes; half a list would mislead, so it is None."""
    lists = [
        card.interview.ask("processes", question, card.handle, optional=True)
        for question in (
            pynvml.nvmlDeviceGetComputeRunningProcesses,
            pynvml.nvmlDeviceGetGraphicsRunningProcesses,
        )
    ]
    if card.interview.was_refused("processes") or lists == [None, None]:
        return None
    held = {process.pid: process.usedGpuMemory for found in lists for process in found or ()}
    held.pop(os.getpid(), None)
    return tuple(Holder(pid, _name(pid), size) for pid, size in held.items())


def _name(pid: int) -> str | None:
    """Name a process if it is in our namespace and still alive."""
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return None


def _warn_no_library(root: Path) -> tuple[str, ...]:
    sign = next((root / sign for sign in SIGNS if (root / sign).exists()), None)
    if sign is None:
        return ()
    if sign.name == "dxg":
        fix = (
            "if this PC has an NVIDIA card, install its Windows driver and see that "
            "/usr/lib/wsl/lib is in the loader's path"
        )
    else:
        fix = (
            "install the driver's libraries, or start the container with --gpus all and "
            "NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        )
    return (f"{sign} is here, but libnvidia-ml.so.1 is not, so no NVIDIA card is used: {fix}.",)


def _say_broken(refusal: Any) -> str:  # noqa: ANN401
    fixes = {
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "load it (sudo modprobe nvidia) or reboot",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the driver was updated: reboot",
        pynvml.NVML_ERROR_NO_PERMISSION: "give this user access to /dev/nvidia*",
    }
    fix = fixes.get(refusal.value, "nvidia-smi may say more")
    return f"The NVIDIA driver does not work ({refusal}), so no NVIDIA card is used: {fix}."


def _consequence(facts: list[str]) -> str:
    return ", so nothing can be planned on it" if "memory" in facts else ""


def _join(facts: list[str]) -> str:
    once = list(dict.fromkeys(facts))
    return " and ".join([", ".join(once[:-1]), once[-1]] if once[1:] else once)
