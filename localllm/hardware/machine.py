"""What a machine is made of, as plain values.

A fact that could not be had is None, never 0 and never a guess; `sources` says where each
one that we have came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from localllm.events import DeviceId
from localllm.hardware.graphics import Graphics

CPU = DeviceId("cpu")
"""The processor and the host's memory: every machine has it."""


class DeviceKind(StrEnum):
    """How a device is driven."""

    CUDA = "cuda"
    METAL = "metal"
    ROCM = "rocm"
    VULKAN = "vulkan"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Holder:
    """Another process that holds memory of a device."""

    pid: int
    name: str | None
    held_bytes: int | None
    """None where the driver does not tell, as under WSL2."""


@dataclass(frozen=True, slots=True)
class Host:
    """The computer around the devices."""

    os: str
    """linux or darwin."""

    os_version: str | None
    arch: str
    """x86_64 or arm64."""

    cpu: str | None
    cores: int
    """Physical cores that this process may use; the right number of threads for an engine."""

    memory_total: int
    """Bytes; the control group's limit where that is lower."""

    memory_available: int
    """Bytes that can be taken now without swapping."""

    wsl: bool = False
    """Under WSL2: a larger reserve, and no memory figures per process."""

    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    """From the name of a field to where its value came from."""


@dataclass(frozen=True, slots=True)
class Device:
    """Something with memory of its own (or shared, `unified`) that an engine can compute on."""

    id: DeviceId
    """kind:number in the order of the PCI bus, as in cuda:0; plain `cpu` for the host."""

    kind: DeviceKind
    name: str
    source: str
    """Where we learned that it exists: NVML, sysctl, psutil, or an engine's own list."""

    memory_total: int | None = None
    memory_free: int | None = None
    memory_usable: int | None = None
    """Bytes that a plan may spend now: what is free less what is kept for the desktop."""

    memory_reserve: int | None = None
    """Bytes that plans leave to the desktop or the system, whether it holds them now or not.
    What `memory_usable` has as its source tells of this and of the limit below, too."""

    wired_limit: int | None = None
    """On Apple's chips: bytes that the GPU may take at most."""

    unified: bool = False
    bandwidth: int | None = None
    """Memory bandwidth in bytes per second."""

    half_precision_flops: float | None = None
    """Dense fp16 operations per second."""

    driver: str | None = None
    cuda_version: str | None = None
    """The newest CUDA that the driver supports, as in 12.8."""

    compute_capability: str | None = None
    uuid: str | None = None
    """What engines are given in CUDA_VISIBLE_DEVICES: the only name that no order changes."""

    pci_bus: str | None = None
    power_limit_w: float | None = None
    holders: tuple[Holder, ...] | None = None
    """Other processes on the device; None if the driver does not tell."""

    sources: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything a plan may count on. The last device is the host's processor."""

    host: Host
    devices: tuple[Device, ...]
    warnings: tuple[str, ...] = ()
    """What could not be learned, and what that means, one sentence each."""

    graphics: tuple[Graphics, ...] = ()
    """Cards that only an engine's own list makes a device of."""

    def accelerators(self) -> tuple[Device, ...]:
        return tuple(d for d in self.devices if d.kind is not DeviceKind.CPU)

    def device(self, wanted: DeviceId) -> Device:
        """Find a device by id.

        Raises:
            KeyError: There is none of that id.
        """
        for device in self.devices:
            if device.id == wanted:
                return device
        raise KeyError(wanted)
