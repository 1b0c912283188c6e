"""The pieces that scenes are made of: real views with numbers as they are on real machines. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from localllm.api.engine_views import BuildView
from localllm.api.now_views import DeviceNowView, HeldView, ModelNowView
from localllm.api.pull_views import PulledFileView, PullView
from localllm.api.request_views import RequestView
from localllm.api.status_views import (
    DaemonView,
    ErrorView,
    InstanceView,
    LayersView,
    PlacedView,
    RequestsView,
    SpeedView,
    UsedMemoryView,
)
from localllm.api.views import DeviceView, ProbeView, PromptsView
from localllm.hardware.described import describe_machine
from localllm.paths import bundled_profiles
from localllm.planning.views import render_machine
from localllm.units import GIB, MIB

AT = 1_795_990_000.0
"""Sun Nov 29 2026, 22:06:40 UTC: when the scenes are, for those who want them to stand still."""

HOME = Path("/home/dev")
NAMES = {
    "cuda:0": "NVIDIA GeForce RTX 5090",
    "cuda:1": "NVIDIA GeForce RTX 5090",
    "metal:0": "Apple M3 Ultra",
    "cpu": "processor",
}
SHA = "6d3a0c1b8f2e4d5a9b7c6e1f0a2b3c4d5e6f7a8b"


def gib(count: float) -> int:
    return round(count * GIB)


def a_daemon() -> DaemonView:
    return DaemonView(
        version="0.0.0",
        pid=4242,
        uptime=7_384.0,
        endpoint="http://127.0.0.1:11711/v1",
        log="/home/dev/.local/state/localllm/daemon.log",
    )


def a_probe(machine: str) -> ProbeView:
    """The machine of these words, as the probe would find it."""
    return render_machine(describe_machine(machine, bundled_profiles()))


def a_device(probe: ProbeView, which: str, **more: Any) -> DeviceNowView:
    """One of the probe's devices now: idle and cool, unless `more` says otherwise."""
    known = next(device for device in probe.devices if device.id == which)
    return DeviceNowView(
        **{
            "id": known.id,
            "kind": known.kind,
            "name": known.name,
            "unified": known.unified,
            "memory_total": known.memory_total,
            "memory_free": known.memory_free,
            "reserve": _reserve(known),
            "held": [],
            "others": 0,
            "utilization": None,
            "power": None,
            "power_limit": None,
            "temperature": None,
            "throttled": None,
            "lost": None,
            "wired_limit": None,
            "pressure": "none" if known.unified or known.kind == "cpu" else None,
            **more,
        }
    )


def _reserve(device: DeviceView) -> int:
    total = device.memory_total or 0
    return max(GIB, total // 20) if device.unified else total - (device.memory_usable or 0)


def holding(device: DeviceNowView, held: list[HeldView], *, others: int = 0) -> DeviceNowView:
    """The device with these parts in it: what is free is the rest."""
    used = others + sum(one.weights + one.cache + one.other for one in held)
    total = device.memory_total or 0
    given = {name: getattr(device, name) for name in device.__struct_fields__}
    return DeviceNowView(
        **{**given, "held": held, "others": others, "memory_free": max(0, total - used)}
    )


def a_part(model: InstanceView, weights: float, cache: float, other: float) -> HeldView:
    """What a model has of a device, in GiB."""
    return HeldView(
        instance=model.instance,
        model=model.id,
        weights=gib(weights),
        cache=gib(cache),
        other=gib(other),
    )


def an_instance(
    model: str = "qwen3-32b",
    *,
    quant: str | None = "Q4_K_M",
    context: int = 32_768,
    device: str = "cuda:0",
    total: float = 26.9,
    layers: int = 64,
    **more: Any,
) -> InstanceView:
    """A model that is ready, unless `more` says otherwise.

    Args:
        device: One, or several as in cuda:0+cuda:1.
        total: In GiB.
    """
    predicted, measured = gib(total), gib(total) + 87 * MIB
    return InstanceView(
        **{
            "id": model,
            "instance": f"{model}:{(quant or 'unknown').lower()}:{context}",
            "state": "ready",
            "wanted": True,
            "why": "it answered its first chat",
            "engine": "llama-server",
            "device": ", ".join(NAMES[one] for one in device.split("+")),
            "quant": quant,
            "context": context,
            "parallel": 2,
            "pid": 4301,
            "layers": LayersView(on_device=layers, total=layers),
            "memory": UsedMemoryView(predicted=predicted, measured=measured, resident=gib(1.2)),
            "placement": [
                PlacedView(
                    device=one,
                    name=NAMES[one],
                    layers=layers // len(device.split("+")),
                    predicted=predicted // len(device.split("+")),
                    measured=measured // len(device.split("+")),
                )
                for one in device.split("+")
            ],
            "speed": SpeedView(predicted_tps=62.0, measured_tps=58.4, prefill_tps=2_940.0),
            "requests": RequestsView(active=0, waiting=0, total=214),
            "prompts": PromptsView(kept="saved", why=None),
            "kv_used": 0.0,
            "error": None,
            **more,
        }
    )


def a_model(view: InstanceView, **more: Any) -> ModelNowView:
    return ModelNowView(
        **{
            "view": view,
            "generated": 48_213,
            "read": 91_004,
            "first_token": 0.42,
            "cache_share": 0.85,
            **more,
        }
    )


def not_up(
    view: InstanceView, state: str, why: str, error: ErrorView | None = None
) -> InstanceView:
    """The instance in a state in which nothing of it has been measured."""
    given = {name: getattr(view, name) for name in view.__struct_fields__}
    unmeasured = UsedMemoryView(predicted=view.memory.predicted, measured=None, resident=None)
    speed = SpeedView(predicted_tps=view.speed.predicted_tps, measured_tps=None, prefill_tps=None)
    gone = {"memory": unmeasured, "speed": speed, "kv_used": None, "pid": None}
    if state in {"starting", "warming"}:
        gone["pid"] = view.pid
    wanted = state != "failed"
    return InstanceView(
        **{**given, **gone, "state": state, "why": why, "error": error, "wanted": wanted}
    )


def a_request(number: int = 1, **more: Any) -> RequestView:
    """One that generates for an agent, unless `more` says otherwise."""
    return RequestView(
        **{
            "id": f"req_{number:016x}",
            "api": "messages",
            "asked": "localllm",
            "model": "qwen3-32b",
            "instance": "qwen3-32b:q4_k_m:32768",
            "engine": "llama-server",
            "client": "claude-cli/2.1.330",
            "conversation": "5f0c",
            "key": None,
            "stream": True,
            "began_at": AT - 9.5,
            "phase": "generating",
            "elapsed": 9.5,
            "wait": 0.01,
            "prompt_tokens": 18_432,
            "cached_tokens": 17_920,
            "prompt_read": 18_432,
            "generated_tokens": 527,
            "reasoning_tokens": 122,
            "first_token": 0.42,
            "decode_tps": 58.1,
            "longest_gap": 0.06,
            "status": None,
            "error": None,
            "prefix_broken": False,
            **more,
        }
    )


def over(number: int, **more: Any) -> RequestView:
    """A request that is done."""
    done = {"phase": "done", "status": 200, "elapsed": 14.2, "generated_tokens": 811}
    return a_request(number, **{**done, "began_at": AT - 60.0 * number, **more})


def in_phase(number: int, phase: str, client: str) -> RequestView:
    """One of many that came one after the other."""
    common = {"client": client, "elapsed": 30.0 - number, "began_at": AT - 30.0 + number}
    unread = {
        "generated_tokens": 0,
        "first_token": None,
        "decode_tps": None,
        "reasoning_tokens": None,
    }
    match phase:
        case "generating":
            return a_request(number, generated_tokens=311 + number, **common)
        case "prefill":
            return a_request(number, phase=phase, prompt_read=18_000, **{**unread, **common})
    return a_request(
        number, phase=phase, wait=None, prompt_read=None, cached_tokens=None, **unread, **common
    )


def a_pull(number: int = 1, model: str = "qwen3-coder-30b-a3b", **more: Any) -> PullView:
    """One that is being fetched, unless `more` says otherwise."""
    size, here = gib(17.3), gib(6.1)
    name = f"{model}-Q4_K_M.gguf"
    return PullView(
        **{
            "id": f"p{number}",
            "model": model,
            "repo": f"unsloth/{model}-GGUF",
            "commit": SHA,
            "quant": "Q4_K_M",
            "state": "fetching",
            "size": size,
            "here": here,
            "speed": 94.0 * MIB,
            "left": (size - here) / (94.0 * MIB),
            "note": None,
            "files": [PulledFileView(path=name, size=size, here=here, state="fetching")],
            "error": None,
            "reason": "the largest quantization that fits with 65536 tokens of context",
            **more,
        }
    )


def a_build(id_: str = "llama-b6000-cuda", **more: Any) -> BuildView:
    """An engine's build that could be fetched for this machine."""
    return BuildView(
        **{
            "id": id_,
            "title": "llama.cpp b6000 for CUDA 12",
            "engine": "llama-server",
            "version": "b6000",
            "drives": "cuda",
            "installed": False,
            "in_use": False,
            "rollback": False,
            "why_not": None,
            "download": 210 * MIB,
            "files": [],
            "hosts": ["github.com"],
            "licence": "MIT",
            "proved_on": None,
            **more,
        }
    )
