"""Render what planning decided as the documents of the contract. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localllm.api.views import (
    CandidateView,
    DeviceView,
    ExplainedView,
    FirstTokenView,
    HolderView,
    HostView,
    MemoryView,
    ModelView,
    PlacementView,
    PredictedSpeedView,
    ProbeView,
    PromptsView,
    RangeView,
    SourceView,
)
from localllm.fit.explain import explain
from localllm.fit.plan import Memory, Placement, Plan
from localllm.fit.shape import shape_of
from localllm.fit.speed import Speed, first_token_s
from localllm.hardware.machine import Device, Host, Machine
from localllm.planning.considering import Considered, Judge
from localllm.planning.offers import Offer
from localllm.planning.prompt_keeping import PromptKeeping

AGENT_PROMPT_TOKENS = 20_000
"""What a coding agent sends before its first word."""

_LADDER = "Llama-3-8B in the same quantization; llama.cpp, tools/perplexity/README"


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


def render_offered(considered: Sequence[Considered], index: int | None) -> ModelView | None:
    """Show what the chosen one's header says of the model, or else the first that has one."""
    order = [] if index is None else [considered[index]]
    found = next((c for c in (*order, *considered) if c.offer.header is not None), None)
    if found is None or found.offer.header is None:
        return None
    header, profile = found.offer.header, found.offer.profile
    return ModelView(
        id=found.offer.model,
        name=header.name if profile is None else profile.name,
        architecture=header.architecture,
        parameters=header.parameters,
        context_trained=header.context_trained,
    )


@dataclass(frozen=True, slots=True)
class Light:
    """In which a candidate is shown."""

    engine: str | None
    """None where no engine can run it, which `caveat` explains."""

    caveat: str | None = None
    lacks: str | None = None
    """What the chosen one has over it; None for the chosen one."""

    explain: bool = False
    from_engine: bool = False
    """Whether its buffers are the engine's own answer."""

    keeping: PromptKeeping | None = None
    """What of its prompts outlives its engine; None where none can run it."""


def render_considered(considered: Considered, judge: Judge, light: Light) -> CandidateView:
    """Show one candidate."""
    offer, plan = considered.offer, considered.plan
    why = considered.why_not if plan is None else plan.reason
    reasons = (why, considered.note, offer.caveat, light.caveat)
    kld = judge.kld(offer)
    return CandidateView(
        model=offer.model,
        quant=offer.quant,
        format=offer.format.value,
        engine=light.engine,
        source=SourceView(repo=offer.repo, files=list(offer.files), size=offer.size_bytes),
        context=None if plan is None else plan.context,
        parallel=None if plan is None else plan.parallel,
        kv_type=None if plan is None else plan.kv_type,
        micro_batch=None if plan is None else plan.micro_batch,
        experts_on_host=0 if plan is None else plan.experts_on_host,
        placement=[] if plan is None else [_placement(p) for p in plan.placement],
        memory=None if plan is None else render_memory(plan.memory, plan.host_cache_bytes),
        memory_from="engine" if light.from_engine else "formula",
        header=offer.told.value,
        on_disk=offer.on_disk,
        prompts=None if light.keeping is None else render_keeping(light.keeping),
        speed=render_speed(None if plan is None else plan.speed),
        quality=kld,
        quality_source=None if kld is None else offer.kld_source or _LADDER,
        verdict=None if plan is None else plan.verdict.value,
        reason=" ".join(dict.fromkeys(r for r in reasons if r)),
        lacks=light.lacks,
        explanation=_explanation(offer, plan) if light.explain else [],
    )


def _explanation(offer: Offer, plan: Plan | None) -> list[ExplainedView]:
    if plan is None or offer.header is None:
        return []
    return [
        ExplainedView(device=e.device, part=e.part, bytes=e.size_bytes, formula=e.formula)
        for e in explain(shape_of(offer.header), plan)
    ]


def _placement(placed: Placement) -> PlacementView:
    return PlacementView(
        device=placed.device,
        layers=placed.layers,
        bytes=placed.size_bytes,
        memory=render_memory(placed.memory, 0),
    )


def render_speed(speed: Speed | None) -> PredictedSpeedView:
    """Show a speed, the range where a measurement is expected, and what an agent would wait."""
    if speed is None:
        return PredictedSpeedView()
    return PredictedSpeedView(
        decode_tps=speed.decode_tps,
        decode_tps_full=speed.decode_full_tps,
        prefill_tps=speed.prefill_tps,
        decode_range=_range(speed.decode_low_tps, speed.decode_high_tps),
        prefill_range=_range(speed.prefill_low_tps, speed.prefill_high_tps),
        first_token=FirstTokenView(
            prompt_tokens=AGENT_PROMPT_TOKENS,
            cold=first_token_s(speed, AGENT_PROMPT_TOKENS),
            cached=first_token_s(speed, AGENT_PROMPT_TOKENS, cached_tokens=AGENT_PROMPT_TOKENS - 1),
        ),
        source="measured" if speed.measured else "predicted",
    )


def render_keeping(keeping: PromptKeeping) -> PromptsView:
    """Show what of a model's prompts outlives its engine."""
    return PromptsView(kept=keeping.kept.value, why=keeping.why)


def _range(low: float | None, high: float | None) -> RangeView | None:
    return None if low is None or high is None else RangeView(low=low, high=high)


def render_memory(memory: Memory, host_cache_bytes: int) -> MemoryView:
    """Show where the bytes go."""
    return MemoryView(
        weights=memory.weights,
        kv_cache=memory.kv_cache,
        recurrent_state=memory.recurrent_state,
        compute=memory.compute,
        output=memory.output,
        projector=memory.projector,
        draft=memory.draft,
        overhead=memory.overhead,
        checkpoints=memory.checkpoints,
        total=memory.total,
        host_cache=host_cache_bytes,
    )
