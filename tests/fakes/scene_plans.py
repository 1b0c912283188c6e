"""A catalog of a few models, and plans of it for any machine: by sums so simple that tests can follow them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localllm.api.store_views import LeftoverView, OnDiskView, StoreView
from localllm.api.views import (
    CandidateView,
    ExplainedView,
    FirstTokenView,
    MemoryView,
    ModelView,
    PlacementView,
    PlanRequest,
    PlanView,
    PredictedSpeedView,
    ProbeView,
    RangeView,
    SourceView,
)
from localllm.errors import ModelNotFound
from tests.fakes.scene_parts import AT, SHA, gib

_BITS = {"Q8_0": 8.5, "Q6_K": 6.6, "Q4_K_M": 4.85, "IQ2_M": 2.7}
_QUALITY = {"Q8_0": 0.001, "Q6_K": 0.004, "Q4_K_M": 0.021, "IQ2_M": 0.19}
_SMALLEST_CONTEXT = 4_096


@dataclass(frozen=True, slots=True)
class Known:
    """A model of the catalog."""

    id: str
    name: str
    billions: float
    active_billions: float
    layers: int
    kv_bytes_per_token: int
    trained: int = 131_072

    @property
    def weights(self) -> float:
        return self.billions * 1e9


CATALOG = (
    Known("qwen3-coder-30b-a3b", "Qwen3 Coder 30B A3B", 30.5, 3.3, 48, 98_304, 262_144),
    Known("qwen3-32b", "Qwen3 32B", 32.8, 32.8, 64, 262_144),
    Known("gpt-oss-20b", "gpt-oss 20B", 20.9, 3.6, 24, 49_152),
    Known("qwen3-8b", "Qwen3 8B", 8.2, 8.2, 36, 147_456),
    Known("llama-3.3-70b", "Llama 3.3 70B", 70.6, 70.6, 80, 327_680),
    Known("smollm2-135m-instruct", "SmolLM2 135M Instruct", 0.135, 0.135, 30, 23_040, 8_192),
)
ON_DISK = {("qwen3-32b", "Q4_K_M"), ("qwen3-8b", "Q8_0"), ("smollm2-135m-instruct", "Q8_0")}


def plan_on(probe: ProbeView, wanted: PlanRequest) -> PlanView:
    """Plan for the probed machine.

    Raises:
        ModelNotFound: The catalog has no such model.
    """
    if wanted.model is None:
        best = [_plan_one(probe, known, wanted) for known in CATALOG]
        candidates = [plan[0][plan[1] or 0] for plan in best]
        return _plan(probe, None, wanted, candidates, _choose(candidates))
    known = next((one for one in CATALOG if one.id == wanted.model), None)
    if known is None:
        raise ModelNotFound(
            f"No model is called {wanted.model!r}.",
            why="it is in no profile, and on no disk",
            fix="localllm plan lists what there is",
        )
    candidates, choice = _plan_one(probe, known, wanted)
    return _plan(probe, known, wanted, candidates, choice)


def store_of(served: Sequence[str]) -> StoreView:
    """A disk with what is ON_DISK, and something left over."""
    return StoreView(
        cache="/home/dev/.cache/huggingface/hub",
        free=gib(212.0),
        models=[_on_disk(model, quant, model in served) for model, quant in sorted(ON_DISK)],
        leftovers=[
            LeftoverView(
                kind="incomplete",
                path="/home/dev/.cache/huggingface/hub/tmp.incomplete",
                size=gib(2.4),
                changed=AT - 86_400.0,
                why="another tool has begun a download and not ended it",
                in_use=False,
            )
        ],
    )


def _on_disk(model: str, quant: str, served: bool) -> OnDiskView:
    known = next(one for one in CATALOG if one.id == model)
    return OnDiskView(
        name=f"{model}:{quant}",
        quant=quant,
        format="gguf",
        size=_weights(known, quant),
        where="huggingface",
        path=f"/home/dev/.cache/huggingface/hub/{model}-{quant}.gguf",
        repo=f"unsloth/{model}-GGUF",
        commit=SHA,
        last_used=AT - 3_600.0,
        verdict=None,
        reason=None,
        served=served,
        missing=[],
    )


def _weights(known: Known, quant: str) -> int:
    return round(known.weights * _BITS[quant] / 8)


def _plan_one(
    probe: ProbeView, known: Known, wanted: PlanRequest
) -> tuple[list[CandidateView], int | None]:
    quants = [quant for quant in _BITS if wanted.quant in (None, quant)]
    candidates = [_candidate(probe, known, quant, wanted) for quant in quants]
    choice = _choose(candidates)
    return candidates, choice


def _choose(candidates: Sequence[CandidateView]) -> int | None:
    fitting = [i for i, one in enumerate(candidates) if one.verdict == "fits"]
    partly = [i for i, one in enumerate(candidates) if one.verdict == "fits_partly"]
    return next(iter([*fitting, *partly]), None)


def _candidate(probe: ProbeView, known: Known, quant: str, wanted: PlanRequest) -> CandidateView:
    devices = [d for d in probe.devices if d.kind != "cpu"] or list(probe.devices)
    room, host = _room(devices), probe.host.memory_available
    weights, other = _weights(known, quant), gib(0.9)
    context = wanted.context or _context(known, room - weights - other)
    cache = context * known.kv_bytes_per_token * (1 if wanted.kv_type in (None, "f16") else 0.53)
    memory = _memory(weights, round(cache), other)
    verdict = "fits" if memory.total <= room else "fits_partly"
    if memory.total > room + host or (devices[0].kind in {"cpu", "metal"} and memory.total > room):
        verdict = "too_big"
    share = min(1.0, room / memory.total)
    tps = _tps(devices[0].bandwidth, known, quant, share)
    return CandidateView(
        model=known.id,
        quant=quant,
        format="gguf",
        engine="llama-server",
        source=SourceView(
            repo=f"unsloth/{known.id}-GGUF", files=[f"{known.id}-{quant}.gguf"], size=weights
        ),
        context=context,
        parallel=wanted.parallel or 2,
        kv_type=wanted.kv_type or "f16",
        micro_batch=512,
        experts_on_host=0,
        placement=[
            PlacementView(
                device=device.id,
                layers=round(known.layers * share / len(devices)),
                bytes=round(memory.total * share / len(devices)),
                memory=_scaled(memory, share / len(devices)),
            )
            for device in devices
        ],
        memory=memory,
        memory_from="formula",
        header="file" if (known.id, quant) in ON_DISK else "catalog",
        on_disk=(known.id, quant) in ON_DISK,
        speed=_speed(tps),
        quality=_QUALITY[quant],
        quality_source="the catalog",
        verdict=verdict,  # type: ignore[arg-type]
        reason=_reason(verdict, memory.total, room),
        lacks=None if verdict == "fits" else "it is not whole on the device",
        explanation=_explained(devices[0].id, memory) if wanted.explain else [],
    )


def _room(devices: Sequence[object]) -> int:
    return sum(getattr(device, "memory_usable", None) or 0 for device in devices)


def _context(known: Known, left: int) -> int:
    """The largest power of two that fits, as far as the model was trained."""
    context = known.trained
    while context > _SMALLEST_CONTEXT and context * known.kv_bytes_per_token > left:
        context //= 2
    return context


def _memory(weights: int, cache: int, other: int) -> MemoryView:
    return MemoryView(
        weights=weights,
        kv_cache=cache,
        recurrent_state=0,
        compute=other - gib(0.4),
        output=gib(0.1),
        projector=0,
        draft=0,
        overhead=gib(0.3),
        checkpoints=0,
        total=weights + cache + other,
        host_cache=gib(8.0),
    )


def _scaled(memory: MemoryView, share: float) -> MemoryView:
    return MemoryView(**{f: round(share * getattr(memory, f)) for f in memory.__struct_fields__})


def _tps(bandwidth: int | None, known: Known, quant: str, share: float) -> float | None:
    if bandwidth is None:
        return None
    read = known.active_billions * 1e9 * _BITS[quant] / 8
    return 0.7 * bandwidth / read * (share if share >= 1 else share * share / 4)


def _speed(tps: float | None) -> PredictedSpeedView:
    if tps is None:
        return PredictedSpeedView()
    return PredictedSpeedView(
        decode_tps=tps,
        decode_tps_full=0.8 * tps,
        prefill_tps=40 * tps,
        decode_range=RangeView(low=0.85 * tps, high=1.1 * tps),
        first_token=FirstTokenView(prompt_tokens=8_192, cold=8_192 / (40 * tps), cached=0.1),
    )


def _reason(verdict: str, total: int, room: int) -> str:
    need = f"{total / gib(1):.1f} GiB of {room / gib(1):.1f} GiB"
    words = {
        "fits": f"all of it on the device: {need}",
        "fits_partly": f"some layers stay on the host, which is slow: {need}",
        "too_big": f"it needs {need}",
    }
    return words[verdict]


def _explained(device: str, memory: MemoryView) -> list[ExplainedView]:
    return [
        ExplainedView(device=device, part=part, bytes=count, formula=formula)
        for part, count, formula in (
            ("weights", memory.weights, "the sum of all tensors"),
            ("kv_cache", memory.kv_cache, "layers x tokens x heads x (key + value) x 2 bytes"),
            ("compute", memory.compute, "the widest step of its graph"),
        )
    ]


def _plan(
    probe: ProbeView,
    known: Known | None,
    wanted: PlanRequest,
    candidates: list[CandidateView],
    choice: int | None,
) -> PlanView:
    return PlanView(
        hardware=probe,
        model=None
        if known is None
        else ModelView(
            id=known.id,
            name=known.name,
            architecture="qwen3",
            parameters=round(known.weights),
            context_trained=known.trained,
        ),
        use=wanted.use or "chat",
        choice=choice,
        candidates=candidates,
        why=None if choice is None else "the best quality that fits with a useful context",
        advice="a card with more memory, or a smaller model" if choice is None else None,
    )
