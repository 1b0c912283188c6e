"""Plans as a terminal gets them, made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localllm.api.views import (
    CandidateView,
    FirstTokenView,
    MemoryView,
    PlacementView,
    PlanView,
    PredictedSpeedView,
    ProbeView,
    RangeView,
    SourceView,
)
from localllm.cli.bars import Look
from localllm.cli.render_plan import render_plan
from tests.unit.cli.test_render import CARD, CPU, a_host

MIB, GIB = 1 << 20, 1 << 30
PLAIN = Look(color=False)
NO_SPEED = PredictedSpeedView()
PREDICTED = PredictedSpeedView(
    decode_tps=44.0,
    decode_tps_full=32.0,
    prefill_tps=2000.0,
    decode_range=RangeView(low=38.2, high=51.6),
    first_token=FirstTokenView(prompt_tokens=20_000, cold=7.41, cached=0.031),
)
MEASURED = PredictedSpeedView(
    decode_tps=41.7,
    decode_tps_full=30.0,
    prefill_tps=2000.0,
    source="measured",
)


def a_memory(**mib: int) -> MemoryView:
    in_bytes = {name: mib.get(name, 0) * MIB for name in MemoryView.__struct_fields__}
    total = sum(in_bytes.values()) - in_bytes["host_cache"]
    return MemoryView(**{**in_bytes, "total": total})


def a_placement(device: str, layers: int, **mib: int) -> PlacementView:
    memory = a_memory(**mib)
    return PlacementView(device=device, layers=layers, bytes=memory.total, memory=memory)


ON_CARD = (
    a_placement("cuda:0", 33, weights=8192, kv_cache=4096, compute=1024),
    a_placement("cpu", 0, weights=512),
)


def a_candidate(
    quant: str | None, placement: Sequence[PlacementView] = ON_CARD, **more: Any
) -> CandidateView:
    fields = MemoryView.__struct_fields__
    memory = MemoryView(**{f: sum(getattr(p.memory, f) for p in placement) for f in fields})
    plain: dict[str, Any] = {
        "model": "m-27b",
        "quant": quant,
        "format": "gguf",
        "engine": "xllamacpp",
        "source": SourceView(repo=None, files=[], size=None),
        "context": 16_384,
        "parallel": 4,
        "kv_type": "f16",
        "micro_batch": 512,
        "experts_on_host": 0,
        "placement": list(placement),
        "memory": memory,
        "memory_from": "formula",
        "header": "catalog",
        "on_disk": False,
        "speed": PREDICTED,
        "quality": 0.0282,
        "quality_source": None,
        "verdict": "fits",
        "reason": "13.0 GiB of 19.0 GiB on the card: weights 8.0 GiB.",
        "lacks": None,
        "explanation": [],
    }
    return CandidateView(**{**plain, **more})


def too_big(quant: str, gib: int) -> CandidateView:
    return a_candidate(
        quant,
        [a_placement("cuda:0", 33, weights=gib * 1024)],
        verdict="too_big",
        speed=NO_SPEED,
        reason=f"{gib}.0 GiB are needed on the card, 19.0 GiB can be used: weights {gib}.0 GiB.",
        lacks="does not fit",
    )


def unknown(quant: str) -> CandidateView:
    return a_candidate(
        quant,
        [],
        memory=None,
        context=None,
        parallel=None,
        kv_type=None,
        speed=NO_SPEED,
        quality=None,
        verdict=None,
        reason="the catalog does not know its size; its header has to be read first",
        lacks="its numbers are not known yet",
    )


def a_plan(*candidates: CandidateView, **more: Any) -> PlanView:
    plain: dict[str, Any] = {
        "hardware": ProbeView(host=a_host(), devices=[CARD, CPU], warnings=[]),
        "model": None,
        "use": "chat",
        "choice": 0,
        "candidates": list(candidates),
        "why": "m-27b Q4_K_M is the best of 2.",
        "advice": None,
    }
    return PlanView(**{**plain, **more})


def shown(view: PlanView, width: int = 200, look: Look = PLAIN) -> str:
    return "\n".join(render_plan(view, width=width, look=look))
