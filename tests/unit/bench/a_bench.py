"""Shots, answers and runs for tests of the bench."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from localllm.api.bench_views import (
    BenchDeviceView,
    BenchMachineView,
    BenchModelView,
    BenchView,
    EngineSaysView,
    OwnView,
    PointView,
    PredictedView,
    SpreadView,
)
from localllm.bench.shots import Arrival, Shot, Shown

SHOT = Shot("/v1/chat/completions", b"{}")
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(**members: Any) -> bytes:
    return chunk(b"data: " + msgspec.json.encode(members) + b"\n\n")


def piece(text: str) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}}])


def usage(prompt: int, cached: int, written: int) -> bytes:
    details = {"cached_tokens": cached}
    counts = {"prompt_tokens": prompt, "completion_tokens": written}
    return event(choices=[], usage={**counts, "prompt_tokens_details": details})


DONE = chunk(b"data: [DONE]\n\n") + chunk(b"")


def arrival(*pieces: tuple[float, bytes], error: str | None = None) -> Arrival:
    ended = pieces[-1][0] if pieces else 0.0
    return Arrival(SHOT, sent_at=1.0, pieces=pieces, ended_at=ended, error=error)


def shown(*times: float, sent_at: float = 0.0, **changes: Any) -> Shown:
    """One whose tokens came at these moments, and its end with the last."""
    given: dict[str, Any] = {
        "shot": SHOT,
        "sent_at": sent_at,
        "first_byte_at": times[0] if times else None,
        "token_times": times,
        "ended_at": times[-1] if times else sent_at,
        "status": 200,
        "prompt_tokens": 100,
        "cached_tokens": 0,
        "generated_tokens": len(times),
        **changes,
    }
    return Shown(**given)


def spread(median: float, *, off: float = 0.0, n: int = 3) -> SpreadView:
    return SpreadView(median=median, low=median * (1 - off), high=median * (1 + off), n=n)


def point(**changes: Any) -> PointView:
    given: dict[str, Any] = {
        "depth": 0,
        "concurrency": 1,
        "prompt": 512,
        "generate": 128,
        "warm": False,
        "requests": 3,
        "failed": 0,
        "error": None,
        "prompt_tokens": 512.0,
        "cached_tokens": 0.0,
        "generated_tokens": 128.0,
        "prefill": spread(400.0),
        "decode": spread(100.0),
        "first_token": None,
        "token_gap": None,
        "request": None,
        "throughput": None,
        "engine": EngineSaysView(prefill_tps=None, decode_tps=None),
        "memory": None,
        "device_memory": None,
        "energy": None,
        "foreign": 0,
        **changes,
    }
    return PointView(**given)


MODEL = BenchModelView(
    id="small",
    quant="Q4_0",
    file="/models/small.gguf",
    file_bytes=1000,
    sha256="0" * 64,
    engine="llama-server",
    engine_version="b1",
    engine_args=[],
    device="RTX 5090",
    context=8192,
    parallel=4,
    layers_on_device=30,
    layers=30,
)
MACHINE = BenchMachineView(
    os="linux",
    arch="x86_64",
    cpu="AMD EPYC",
    cores=2,
    memory_total=1 << 34,
    devices=[BenchDeviceView(name="RTX 5090", kind="cuda", memory_total=1 << 35, driver="590.1")],
)


def run(name: str = "a", points: Sequence[PointView] = (), **changes: Any) -> BenchView:
    given: dict[str, Any] = {
        "id": name,
        "at": 1000.0,
        "took": 10.0,
        "version": "1.0",
        "model": MODEL,
        "machine": MACHINE,
        "prompt": 512,
        "generate": 128,
        "repeat": 3,
        "points": [*points] or [point()],
        "predicted": PredictedView(
            decode_tps=None, low=None, high=None, memory=1, verdict="unknown", says="nothing"
        ),
        "memory_measured": None,
        "own": OwnView(cpu=0.01, wall=10.0, share=0.001),
        "notes": [],
        **changes,
    }
    return BenchView(**given)
