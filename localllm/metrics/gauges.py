"""From a snapshot to the values of gauges. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from localllm.events import ModelState
from localllm.metrics import names
from localllm.metrics.live import Live, Phase
from localllm.metrics.names import Metric
from localllm.metrics.snapshot import DeviceNow, InstanceNow, Snapshot
from localllm.metrics.tallies import Labels

Value = tuple[Metric, Labels, float | None]
"""None: not known, so not shown."""

_UNDER_WAY = (Phase.WAITING, Phase.PREFILL, Phase.GENERATING)


def gauges(now: Snapshot, live: Iterable[Live]) -> Iterator[Value]:
    """Say what every gauge shows."""
    yield names.BUILD, (now.version,), 1
    yield names.STARTED, (), now.started_at
    yield names.HOST_MEMORY, (), now.host_memory_bytes
    yield names.HOST_AVAILABLE, (), now.host_available_bytes
    yield names.LEDGER_DROPPED, (), now.ledger_dropped
    phases = Counter(one.phase for one in live)
    for phase in _UNDER_WAY:
        yield names.UNDER_WAY, (phase.value,), phases[phase]
    for instance in now.instances:
        yield from _of_instance(instance)
    for device in now.devices:
        yield from _of_device(device)


def _of_instance(one: InstanceNow) -> Iterator[Value]:
    labels = (one.model, one.instance)
    made_of = (one.engine, one.device, one.quantization or "")
    yield names.INSTANCE, (*labels, *made_of), 1
    for state in ModelState:
        yield names.STATE, (*labels, state.value), one.state is state
    yield names.CONTEXT, labels, one.context_tokens
    yield names.SLOTS, labels, one.slots
    yield names.ACTIVE, labels, one.active
    yield names.WAITING, labels, one.waiting
    yield names.KV_USED, labels, one.kv_used_ratio
    yield names.PREDICTED, labels, one.predicted_bytes
    yield names.MEASURED, labels, one.measured_bytes
    yield names.RESIDENT, labels, one.resident_bytes


def _of_device(one: DeviceNow) -> Iterator[Value]:
    labels = (one.device,)
    yield names.DEVICE, (one.device, one.kind, one.name), 1
    yield names.DEVICE_MEMORY, labels, one.memory_bytes
    yield names.DEVICE_USED, labels, one.used_bytes
    yield names.DEVICE_POWER, labels, one.power_w
    yield names.DEVICE_ENERGY, labels, one.energy_j
    yield names.DEVICE_TEMPERATURE, labels, one.temperature_c
    yield names.DEVICE_UTILIZATION, labels, one.utilization_ratio
    yield names.DEVICE_LOST, labels, one.lost
    yield names.DEVICE_THROTTLED, labels, one.throttled
