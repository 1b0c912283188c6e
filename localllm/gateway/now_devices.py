"""What each device holds and how it does, put together from what is known already. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from localllm.api.now_views import DeviceNowView, HeldView
from localllm.events import DeviceId
from localllm.hardware.machine import CPU, Device, Machine
from localllm.hardware.vitals import UNTOLD, DeviceVitals, Vitals
from localllm.metrics.energy import Total
from localllm.supervisor.accounts import HOLDS_MEMORY
from localllm.supervisor.hosted import Hosted


@dataclass(frozen=True, slots=True)
class Sight:
    """All that is known of the machine now.

    Args:
        machine: As it was probed at the start.
        vitals: The newest look; None before the first.
        lost: By device why it does not answer.
        hot: By device what slows it down.
        energy: By device what it used since the daemon was started.
    """

    machine: Machine
    vitals: Vitals | None
    lost: Mapping[DeviceId, str]
    hot: Mapping[str, str]
    energy: Mapping[DeviceId, Total] = field(default_factory=dict[DeviceId, Total])

    def vitals_of(self, device: Device) -> DeviceVitals:
        return UNTOLD if self.vitals is None else self.vitals.devices.get(device.id, UNTOLD)

    def free_bytes(self, device: Device) -> int | None:
        """What can be taken of it: of the host, and what shares its memory, without swapping."""
        if self.vitals is not None and _is_of_host(device):
            return self.vitals.memory_available
        return self.vitals_of(device).memory_free

    def utilization(self, device: Device) -> float | None:
        if self.vitals is not None and device.id == CPU:
            return self.vitals.utilization
        return self.vitals_of(device).utilization


def render_devices(sight: Sight, instances: Sequence[Hosted]) -> list[DeviceNowView]:
    """Show all of them, the processor last."""
    held = {device.id: [*_held_of(device.id, instances)] for device in sight.machine.devices}
    return [_device(device, sight, held) for device in sight.machine.devices]


def _held_of(device: DeviceId, instances: Sequence[Hosted]) -> Iterator[HeldView]:
    for hosted in instances:
        for part in hosted.planned.plan.placement:
            if part.device != device or hosted.state not in HOLDS_MEMORY:
                continue
            memory = part.memory
            cache = memory.kv_cache + memory.recurrent_state + memory.checkpoints
            whole = hosted.taken.get(device, memory.total)
            yield HeldView(
                instance=hosted.id,
                model=hosted.planned.stored.id,
                weights=memory.weights,
                cache=cache,
                other=max(0, whole - memory.weights - cache),
            )


def _device(device: Device, sight: Sight, held: Mapping[DeviceId, list[HeldView]]) -> DeviceNowView:
    now, vitals = sight.vitals_of(device), sight.vitals
    used = sight.energy.get(device.id)
    return DeviceNowView(
        id=device.id,
        kind=device.kind.value,
        name=device.name,
        unified=device.unified,
        memory_total=device.memory_total,
        memory_free=sight.free_bytes(device),
        reserve=device.memory_reserve,
        held=held[device.id],
        others=_others(device, sight, held),
        utilization=sight.utilization(device),
        power=now.power_w,
        power_limit=device.power_limit_w,
        temperature=now.temperature_c,
        throttled=sight.hot.get(device.id, now.throttled),
        lost=sight.lost.get(device.id, now.lost),
        wired_limit=device.wired_limit,
        pressure=None if vitals is None or not _is_of_host(device) else vitals.pressure.value,
        energy=None if used is None else used.joules,
        energy_at=None if used is None else used.at,
    )


def _others(device: Device, sight: Sight, held: Mapping[DeviceId, list[HeldView]]) -> int | None:
    """What is taken and not by our instances; of one memory, those count that share it."""
    total, free = device.memory_total, sight.free_bytes(device)
    if total is None or free is None:
        return None
    sharing = [
        other.id
        for other in sight.machine.devices
        if other.id == device.id or (_is_of_host(device) and _is_of_host(other))
    ]
    ours = sum(one.weights + one.cache + one.other for shared in sharing for one in held[shared])
    return max(0, total - free - ours)


def _is_of_host(device: Device) -> bool:
    return device.id == CPU or device.unified
