"""From what a user asked for to what an engine is told: the model, the plan, the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from localllm.engines.base import (
    NO_SAMPLING,
    Drafting,
    EngineDevice,
    Sampling,
    Serving,
    Task,
)
from localllm.errors import DoesNotFit
from localllm.events import DeviceId, InstanceId, ModelId
from localllm.fit.any_format import plan as fit
from localllm.fit.cache import can_be_quantized
from localllm.fit.plan import Budget, Plan, Verdict, Wish
from localllm.fit.shape import shape_of
from localllm.formats.header import Format, Header
from localllm.hardware.machine import CPU, Device, DeviceKind, Machine
from localllm.planning.choice import Choice
from localllm.planning.companions import NO_COMPANIONS, Companions, beside_of
from localllm.planning.ledger import Setting, setting_of
from localllm.planning.survey import Survey
from localllm.store.stored import StoredModel

_RUNTIME_BYTES = {DeviceKind.CUDA: 768 << 20, DeviceKind.ROCM: 512 << 20}
"""What a process's context takes of a card before any buffer. Source: llama.cpp issue 21692
('extra 700 MB'); to be replaced by a measurement on the card itself."""

_HOST_SHARE_BYTES = 1 << 30
"""Of unified memory, for what llama.cpp keeps on the host beside the device."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Everything decided about one instance."""

    stored: StoredModel
    header: Header
    choice: Choice
    plan: Plan
    threads: int
    budget: Mapping[DeviceId, int]
    """Bytes that all our instances together may take of each device."""

    sampling: Sampling = NO_SAMPLING
    task: Task = Task.WRITE
    companions: Companions = NO_COMPANIONS

    @property
    def setting(self) -> Setting:
        """What is measured of it is kept under this."""
        beside = beside_of(self.companions, self.task)
        return setting_of(self.plan, self.header, self.choice, beside=beside)

    @property
    def instance(self) -> InstanceId:
        """The model, its quantization and its context: two plans of one model are two instances."""
        quant = (self.header.quantization or "unknown").lower()
        return InstanceId(f"{self.stored.id}:{quant}:{self.plan.context}")

    @property
    def model(self) -> ModelId:
        return ModelId(self.stored.id)

    @property
    def device_name(self) -> str:
        used = [device.name for device, _, _ in self.used]
        return ", ".join(used) or "processor"

    @property
    def used(self) -> tuple[tuple[Device, EngineDevice | None, int], ...]:
        """The devices with layers, in the engine's words too, and how many each has."""
        layers = {p.device: p.layers for p in self.plan.placement}
        seen = self.choice.seen or (None,) * len(self.choice.devices)
        pairs = zip(self.choice.devices, seen, strict=True)
        return tuple((d, s, layers[d.id]) for d, s in pairs if layers.get(d.id))

    @property
    def on_devices_alone(self) -> bool:
        """Whether the processor computes none of it."""
        return bool(self.used) and self.plan.verdict is Verdict.FITS

    @property
    def layers_on_device(self) -> int:
        return sum(layers for _, _, layers in self.used)

    @property
    def need(self) -> Mapping[DeviceId, int]:
        """Bytes taken of each device, the earlier prompts' cache included, wherever it is."""
        need = dict(self.plan.need)
        where = self.plan.prompts_on or CPU
        need[where] = need.get(where, 0) + self.plan.host_cache_bytes
        return need


def plan_model(
    stored: StoredModel,
    header: Header,
    choice: Choice,
    survey: Survey,
    budgets: Sequence[Budget],
    wish: Wish,
) -> Planned:
    """Plan one model on the devices of `choice`; a plan that does not fit is one, too."""
    return Planned(
        stored,
        header,
        choice,
        plan=fit(header, budgets, wish),
        threads=survey.machine.host.cores,
        budget={b.device: b.usable_bytes for b in budgets},
    )


def giving_back(machine: Machine, held: Mapping[DeviceId, int]) -> Machine:
    """The machine as it would be without what our own instances hold, in bytes per device.

    What a device that shares the host's memory gives back, the host gets too.
    """
    shared = sum(held.get(device.id, 0) for device in machine.devices if device.unified)
    back = {**held, CPU: held.get(CPU, 0) + shared}
    return replace(
        machine,
        devices=tuple(
            device
            if device.memory_usable is None
            else replace(device, memory_usable=device.memory_usable + back.get(device.id, 0))
            for device in machine.devices
        ),
    )


def budgets_of(choice: Choice, machine: Machine, *, reserve_bytes: int = 0) -> list[Budget]:
    """The devices of `choice` and the host, as the formulas see them.

    Args:
        reserve_bytes: To keep free of each, beside what the desktop needs.
    """
    devices = (*choice.devices, machine.device(CPU))
    budgets = [_budget(device, reserve_bytes) for device in devices]
    shared = next((i for i, device in enumerate(choice.devices) if device.unified), None)
    if shared is not None:
        budgets[shared], budgets[-1] = _share(budgets[shared], budgets[-1])
    return budgets


def _budget(device: Device, reserve_bytes: int) -> Budget:
    """Offer what the probe calls usable; a device whose memory is unknown offers nothing."""
    usable = 0 if device.memory_usable is None else max(0, device.memory_usable - reserve_bytes)
    return Budget(
        device=device.id,
        name=device.name,
        usable_bytes=usable,
        bandwidth=device.bandwidth,
        overhead_bytes=_RUNTIME_BYTES.get(device.kind, 0),
        half_precision_flops=device.half_precision_flops,
        is_host=device.kind is DeviceKind.CPU,
    )


def _share(device: Budget, host: Budget) -> list[Budget]:
    """Divide one memory that device and host both draw on, so that it is not spent twice."""
    for_device = device.usable_bytes - min(_HOST_SHARE_BYTES, device.usable_bytes // 10)
    for_host = max(0, host.usable_bytes - for_device)
    return [
        replace(device, usable_bytes=for_device, shares_host=True),
        replace(host, usable_bytes=for_host),
    ]


def require_fit(planned: Planned) -> None:
    """Refuse a plan that does not fit.

    Raises:
        DoesNotFit: With the numbers.
    """
    if planned.plan.verdict is Verdict.TOO_BIG:
        raise DoesNotFit(
            f"{planned.stored.id} does not fit on this machine.",
            why=planned.plan.reason,
            fix=f"localllm plan {planned.stored.id}; or a smaller --context, quantization or model",
        )
    if Format.SAFETENSORS in planned.choice.installed.formats and not planned.on_devices_alone:
        raise DoesNotFit(
            f"{planned.stored.id} does not fit on the devices of this machine.",
            why=f"{planned.choice.installed.engine} keeps the whole model there; "
            f"{planned.plan.reason}",
            fix=f"a smaller --context or quantization, or a GGUF: localllm plan {planned.stored.id}",
        )


def serving_of(
    planned: Planned,
    *,
    silence_s: float,
    prefix_folder: Path | None = None,
    pins_slots: bool = False,
) -> Serving:
    """Turn a plan into the settings of an engine.

    Args:
        prefix_folder: Where what its slots hold is put; None: nowhere.
    """
    uuids = tuple(device.uuid for device, _, _ in planned.used if device.uuid is not None)
    return Serving(
        model_file=planned.stored.file,
        file_bytes=planned.stored.file_bytes,
        alias=planned.stored.id,
        context=planned.plan.context,
        parallel=planned.plan.parallel,
        kv_type=planned.plan.kv_type,
        micro_batch=planned.plan.micro_batch,
        threads=planned.threads,
        host_cache_bytes=planned.plan.host_cache_bytes,
        checkpoints=planned.plan.checkpoints,
        devices=tuple(_as_launched(planned, uuids)),
        split=tuple(layers for _, _, layers in planned.used),
        layers=planned.plan.layers,
        experts_on_host=planned.plan.experts_on_host,
        uuids=uuids,
        silence_s=silence_s,
        sampling=planned.sampling,
        projector_file=planned.stored.projector if planned.plan.memory.projector else None,
        task=planned.task,
        pooling=planned.companions.pooling,
        drafting=_drafting(planned, tuple(_as_launched(planned, uuids))),
        adapters=planned.companions.adapters,
        engine_args=planned.companions.engine_args,
        prefix_folder=prefix_folder,
        pins_slots=pins_slots,
    )


def _drafting(planned: Planned, devices: Sequence[EngineDevice]) -> Drafting | None:
    """Have a draft where the plan has it: on the first device, or else on the processor."""
    draft = planned.companions.draft
    if draft is None:
        return None
    kv_type = planned.plan.kv_type
    if draft.header is None:
        return Drafting(draft.tokens, None, kv_type)
    shape = shape_of(draft.header)
    return Drafting(
        draft.tokens,
        planned.companions.draft_file,
        kv_type if can_be_quantized(shape) else "f16",
        device=devices[0] if len(devices) > 1 else None,
        layers=shape.blocks if devices else 0,
    )


def _as_launched(planned: Planned, uuids: Sequence[str]) -> Iterator[EngineDevice]:
    """Name CUDA devices as their process will: the only ones it is shown, if we know their UUIDs."""
    by_uuid = len(uuids) == len(planned.used)
    for number, (_, seen, _) in enumerate(planned.used):
        if seen is not None and seen.kind is DeviceKind.CUDA and by_uuid:
            yield replace(seen, name=f"CUDA{number}")
        elif seen is not None:
            yield seen
