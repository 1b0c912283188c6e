"""What is measured, and on what: facts that decide whether two runs can be compared.

Reads the model's file where no name tells its hash; asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Literal

from localllm.api.bench_views import (
    BenchDeviceView,
    BenchMachineView,
    BenchModelView,
    PointView,
    PredictedView,
)
from localllm.api.status_views import InstanceView
from localllm.api.views import ProbeView
from localllm.fit.speed import RANGE

Verdict = Literal["as predicted", "slower", "faster", "unknown"]
_HASH = re.compile(r"(?:sha256-)?([0-9a-f]{64})")
_MOST_HASHED_BYTES = 1 << 30
"""About a second's work."""


def machine_of(probe: ProbeView) -> BenchMachineView:
    """Where it is measured."""
    host = probe.host
    return BenchMachineView(
        os=host.os,
        arch=host.arch,
        cpu=host.cpu,
        cores=host.cores,
        memory_total=host.memory_total,
        devices=[
            BenchDeviceView(
                name=device.name,
                kind=device.kind,
                memory_total=device.memory_total,
                driver=device.driver,
            )
            for device in probe.devices
        ],
    )


def read_model(view: InstanceView) -> BenchModelView:
    """What is measured; its file's hash is read where that is quick."""
    size, sha256 = _read_file(view.file)
    return BenchModelView(
        id=view.id,
        quant=view.quant,
        file=view.file,
        file_bytes=size,
        sha256=sha256,
        engine=view.engine,
        engine_version=view.engine_version,
        engine_args=view.engine_args,
        device=view.device,
        context=view.context,
        parallel=view.parallel,
        layers_on_device=view.layers.on_device,
        layers=view.layers.total,
    )


def _read_file(name: str | None) -> tuple[int | None, str | None]:
    """Its size, and its hash: caches name files by it. None where it is not there, or a folder."""
    if name is None:
        return None, None
    try:
        real = Path(name).resolve()
        size = real.stat().st_size
        if (named := _HASH.fullmatch(real.name)) is not None:
            return size, named[1]
        if not real.is_file() or size > _MOST_HASHED_BYTES:
            return (size if real.is_file() else None), None
        with real.open("rb") as opened:
            return size, file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None, None


def predicted(view: InstanceView, points: Sequence[PointView]) -> PredictedView:
    """Set what the plan said beside what was measured."""
    said = view.speed.predicted_tps
    verdict, says = _verdict(said, _single_stream_tps(points))
    return PredictedView(
        decode_tps=said,
        low=None if said is None else said * RANGE[0],
        high=None if said is None else said * RANGE[1],
        memory=view.memory.predicted,
        verdict=verdict,
        says=says,
    )


def _single_stream_tps(points: Sequence[PointView]) -> float | None:
    """At depth 0 alone: the plan's speed is that at an empty cache, a full one is slower."""
    empty = (one for one in points if (one.concurrency, one.depth) == (1, 0))
    return next((one.decode.median for one in empty if one.decode is not None), None)


def _verdict(said: float | None, measured: float | None) -> tuple[Verdict, str]:
    if said is None:
        return "unknown", "the plan had no speed for this machine"
    if measured is None:
        return (
            "unknown",
            "its speed is that of an empty cache: no single stream was measured at depth 0",
        )
    off = measured / said - 1
    if RANGE[0] * said <= measured <= RANGE[1] * said:
        return "as predicted", f"within the plan's range ({off:+.0%})"
    kind: Verdict = "slower" if off < 0 else "faster"
    return kind, f"{kind} than the plan's {said:.0f} tok/s, by {abs(off):.0%}"
