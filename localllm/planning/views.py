"""Render what planning decided as the documents of the contract. Decides nothing."""

from __future__ import annotations

from localllm.api.views import (
    CandidateView,
    DeviceView,
    HolderView,
    HostView,
    MemoryView,
    ModelView,
    PlacementView,
    PredictedSpeedView,
    ProbeView,
    SourceView,
)
from localllm.fit.plan import Memory
from localllm.hardware.machine import Device, Host, Machine
from localllm.planning.planner import Planned


def render_machine(machine: Machine) -> ProbeView:
    """Show what was probed."""
    return ProbeView(
        host=_host(machine.host),
        devices=[_device(d) for d in machine.devices],
        warnings=list(machine.warnings),
    )


def _host(host: Host) -> HostView:
    return HostView(
        os=host.os,
        os_version=host.os_version,
        arch=host.arch,
        cpu=host.cpu,
        cores=host.cores,
        memory_total=host.memory_total,
        memory_available=host.memory_available,
        wsl=host.wsl,
        sources=dict(host.sources),
    )


def _device(device: Device) -> DeviceView:
    holders = device.holders
    return DeviceView(
        id=device.id,
        kind=device.kind.value,
        name=device.name,
        memory_total=device.memory_total,
        memory_free=device.memory_free,
        memory_usable=device.memory_usable,
        unified=device.unified,
        bandwidth=device.bandwidth,
        half_precision_flops=device.half_precision_flops,
        driver=device.driver,
        cuda_version=device.cuda_version,
        compute_capability=device.compute_capability,
        uuid=device.uuid,
        pci_bus=device.pci_bus,
        power_limit_w=device.power_limit_w,
        held_by_others=None
        if holders is None
        else [HolderView(pid=h.pid, name=h.name, bytes=h.held_bytes) for h in holders],
        source=device.source,
        sources=dict(device.sources),
    )


def render_model(planned: Planned) -> ModelView:
    """Show what the file's header says."""
    header = planned.header
    return ModelView(
        id=planned.stored.id,
        name=header.name,
        architecture=header.architecture,
        parameters=header.parameters,
        context_trained=header.context_trained,
    )


def render_candidate(planned: Planned, *, engine: str | None, caveat: str | None) -> CandidateView:
    """Show one plan.

    Args:
        engine: None where no engine can run it, which `caveat` explains.
    """
    plan, stored = planned.plan, planned.stored
    reason = plan.reason if caveat is None else f"{plan.reason} {caveat}"
    return CandidateView(
        model=stored.id,
        quant=planned.header.quantization,
        format="gguf",
        engine=engine,
        source=SourceView(repo=stored.repo, files=[str(stored.file)], size=stored.file_bytes),
        context=plan.context,
        parallel=plan.parallel,
        kv_type=plan.kv_type,
        placement=[
            PlacementView(device=p.device, layers=p.layers, bytes=p.size_bytes)
            for p in plan.placement
        ],
        memory=render_memory(plan.memory, plan.host_cache_bytes),
        speed=PredictedSpeedView(decode_tps=plan.decode_tps, prefill_tps=None),
        quality=None,
        verdict=plan.verdict.value,
        reason=reason,
    )


def render_memory(memory: Memory, host_cache_bytes: int) -> MemoryView:
    """Show where the bytes go."""
    return MemoryView(
        weights=memory.weights,
        kv_cache=memory.kv_cache,
        recurrent_state=memory.recurrent_state,
        compute=memory.compute,
        output=memory.output,
        projector=memory.projector,
        overhead=memory.overhead,
        total=memory.total,
        host_cache=host_cache_bytes,
    )
