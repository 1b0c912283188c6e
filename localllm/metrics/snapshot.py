"""What is, at one moment, as plain values: what the gauges show. None: nobody knows."""

from __future__ import annotations

from dataclasses import dataclass

from localllm.events import ModelState


@dataclass(frozen=True, slots=True)
class InstanceNow:
    """One instance. Bytes; `kv_used_ratio` is from 0 to 1."""

    model: str
    """What clients send."""

    instance: str
    engine: str
    device: str
    """Where it is, in words."""

    quantization: str | None
    state: ModelState
    context_tokens: int
    slots: int
    active: int
    waiting: int
    kv_used_ratio: float | None
    predicted_bytes: int
    measured_bytes: int | None
    resident_bytes: int | None


@dataclass(frozen=True, slots=True)
class DeviceNow:
    """One device, the processor among them."""

    device: str
    kind: str
    name: str
    memory_bytes: int | None
    used_bytes: int | None
    power_w: float | None = None
    energy_j: float | None = None
    """Since the daemon was started."""

    temperature_c: float | None = None
    utilization_ratio: float | None = None
    lost: bool = False
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is asked for at a scrape; to be had at once, from what is known already."""

    version: str
    started_at: float
    """Unix seconds."""

    instances: tuple[InstanceNow, ...] = ()
    devices: tuple[DeviceNow, ...] = ()
    host_memory_bytes: int | None = None
    host_available_bytes: int | None = None
    ledger_dropped: int = 0
