"""Renders engines and builds as the documents of the contract. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from localllm.api.engine_views import (
    BenchedView,
    BenchView,
    BuildFileView,
    BuildView,
    ComparisonView,
    EngineDeviceView,
    EnginesView,
    EngineView,
    LeftOutView,
)
from localllm.engines.base import EngineDevice, Installed
from localllm.engines.bench_file import Benched, read_benched
from localllm.engines.builds.fitting import Candidate
from localllm.engines.builds.shelf import Shelved
from localllm.planning.benching import Left
from localllm.planning.engine_desk import EngineDesk
from localllm.planning.survey import Survey

_LLAMA_CPP = (
    *("chat", "completions", "embeddings", "rerank", "images", "tools", "structured output"),
    *("speculative decoding", "LoRA adapters", "KV quantization"),
    *("layers on several devices", "experts on the processor", "requests batched"),
)
_ABILITIES = {
    "xllamacpp": _LLAMA_CPP,
    "llama-server": _LLAMA_CPP,
    "llama-cpp-python": (
        *("chat", "completions", "structured output", "KV quantization"),
        "layers on several devices",
    ),
    "mlx": ("chat", "completions", "tools", "KV quantization", "requests batched"),
    "vllm": ("chat", "completions", "tools", "structured output", "tensor parallel", "requests batched"),
    "sglang": ("chat", "completions", "tools", "structured output", "tensor parallel", "requests batched"),
}  # fmt: skip
"""What can be asked of each through localllm; what a model cannot is the model's affair."""


def render_engines(desk: EngineDesk, seen: Survey) -> EnginesView:
    """Show every engine, and every build for this system."""
    benched = {one.engine: one for one in read_benched(desk.paths.bench)}
    return EnginesView(
        engines=[_engine(installed, benched) for installed in seen.engines],
        builds=render_builds(desk, desk.candidates(seen.machine)),
    )


def render_builds(desk: EngineDesk, candidates: Sequence[Candidate]) -> list[BuildView]:
    """Show what is installed, then what could be."""
    here = {shelved.build.id: shelved for shelved in desk.shelf.builds()}
    before = {b.build.id for s in here.values() if (b := desk.shelf.before(s.build.engine))}
    known = [c for c in candidates if c.build.id not in here]
    installed = [Candidate(shelved.build) for shelved in here.values()]
    return [_build(c, here.get(c.build.id), before) for c in (*installed, *known)]


def render_comparison(benched: Sequence[Benched], left: Sequence[Left]) -> ComparisonView:
    """Show a bench."""
    quickest_first = sorted(benched, key=lambda one: -one.decode_tps)
    return ComparisonView(
        model=benched[0].model,
        benched=[
            BenchedView(
                engine=one.engine,
                version=one.version,
                device=one.device,
                prefill_tps=one.prefill_tps,
                decode_tps=one.decode_tps,
            )
            for one in quickest_first
        ],
        left_out=[LeftOutView(engine=one.engine, why=one.why) for one in left],
    )


def _engine(installed: Installed, benched: Mapping[str, Benched]) -> EngineView:
    bench = benched.get(installed.engine)
    return EngineView(
        name=installed.engine,
        version=installed.version,
        available=installed.available,
        origin=installed.origin,
        formats=sorted(f.value for f in installed.formats),
        devices=[_device(device) for device in installed.devices],
        abilities=list(_ABILITIES.get(installed.engine, ())) if installed.available else [],
        at_once=installed.most_at_once,
        bench=None if bench is None else _bench(bench),
        hint=installed.hint,
        reason=installed.reason,
    )


def _device(device: EngineDevice) -> EngineDeviceView:
    return EngineDeviceView(
        name=device.name,
        kind=device.kind.value,
        description=device.description,
        memory_total=device.memory_total,
        memory_free=device.memory_free,
    )


def _bench(bench: Benched) -> BenchView:
    return BenchView(
        model=bench.model,
        device=bench.device,
        prefill_tps=bench.prefill_tps,
        decode_tps=bench.decode_tps,
    )


def _build(candidate: Candidate, shelved: Shelved | None, before: set[str]) -> BuildView:
    build = candidate.build
    return BuildView(
        id=build.id,
        title=build.title,
        engine=build.engine,
        version=build.version,
        drives=build.drives.value,
        installed=shelved is not None,
        in_use=shelved is not None and shelved.in_use,
        rollback=build.id in before,
        why_not=candidate.why_not,
        download=build.download_bytes,
        files=[
            *(
                BuildFileView(name=a.name, url=a.url, sha256=a.sha256, size=a.size)
                for a in build.archives
            ),
            *(
                BuildFileView(
                    name=f"{p.name}=={p.version}", url=p.index, sha256=p.sha256, size=p.size
                )
                for p in build.packages
            ),
        ],
        hosts=list(build.hosts),
        licence=build.licence,
        proved_on=None if shelved is None else shelved.manifest.proved_on,
    )
