"""What the fleet and the machine are like now, for `/metrics`: from what is known already, at once."""

from __future__ import annotations

from collections.abc import Mapping

from localllm import __version__
from localllm.events import DeviceId
from localllm.gateway.now_devices import Sight
from localllm.hardware.machine import Device, Machine
from localllm.metrics.energy import Total
from localllm.metrics.snapshot import DeviceNow, InstanceNow, Snapshot
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.operations import Operations


def snapshot_of(
    operations: Operations,
    machine: Machine,
    started_at: float,
    ledger_dropped: int,
    energy: Mapping[DeviceId, Total],
) -> Snapshot:
    """Look around; asks no engine and no driver.

    Args:
        machine: As it was probed at the start.
        started_at: Unix seconds.
    """
    watch, fleet = operations.watch, operations.fleet
    vitals = watch.vitals
    sight = Sight(machine, vitals, fleet.lost, watch.throttled, energy)
    return Snapshot(
        version=__version__,
        started_at=started_at,
        instances=tuple(_instance(hosted) for hosted in fleet.instances()),
        devices=tuple(_device(d, sight) for d in machine.devices),
        host_memory_bytes=machine.host.memory_total,
        host_available_bytes=None if vitals is None else vitals.memory_available,
        ledger_dropped=ledger_dropped,
    )


def _instance(hosted: Hosted) -> InstanceNow:
    planned, measured = hosted.planned, hosted.runner.measured
    load = None if measured is None or not measured.load.buffers else measured.load
    return InstanceNow(
        model=planned.stored.id,
        instance=hosted.id,
        engine=planned.choice.installed.engine,
        device=planned.device_name,
        quantization=planned.header.quantization,
        state=hosted.state,
        context_tokens=planned.plan.context,
        slots=planned.plan.parallel,
        active=hosted.in_flight,
        waiting=hosted.waiting,
        kv_used_ratio=kv_used_ratio(hosted),
        predicted_bytes=planned.plan.memory.at_load,
        measured_bytes=None if load is None else load.total_bytes,
        resident_bytes=None if measured is None else measured.resident_bytes,
    )


def kv_used_ratio(hosted: Hosted) -> float | None:
    """By what the watchdog was last told, each second while the engine works."""
    if hosted.told_tokens is None:
        return None
    return hosted.told_tokens / hosted.planned.plan.context if hosted.in_flight else 0.0


def _device(device: Device, sight: Sight) -> DeviceNow:
    now, free, total = sight.vitals_of(device), sight.free_bytes(device), device.memory_total
    return DeviceNow(
        device=device.id,
        kind=device.kind.value,
        name=device.name,
        memory_bytes=total,
        used_bytes=None if total is None or free is None else total - free,
        power_w=now.power_w,
        energy_j=None if device.id not in sight.energy else sight.energy[device.id].joules,
        temperature_c=now.temperature_c,
        utilization_ratio=sight.utilization(device),
        lost=device.id in sight.lost,
        throttled=device.id in sight.hot,
    )
