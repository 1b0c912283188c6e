"""Loads of verify_fit: start a real engine as localllm does, read its log, and predict the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path

from localllm.engines.base import Endpoint, Engine, Installed, Serving
from localllm.engines.estimate import estimate
from localllm.engines.estimate_log import Estimate
from localllm.engines.llama_server import LlamaServer
from localllm.engines.load_log import Buffer, LoadReport, parse_load_log
from localllm.engines.xllamacpp import Xllamacpp
from localllm.fit.cache import FLOAT_BYTES, Setting
from localllm.fit.compute import REPLAYED
from localllm.fit.memory import memory_of
from localllm.fit.placing import Arrangement, arrange, on_host
from localllm.fit.plan import Memory
from localllm.fit.shape import Shape

ROOT = Path(__file__).resolve().parents[1]
LOADED = ("warming up the model", "load_model: initializing")
"""Printed when everything is allocated; what follows takes a software device long."""

DEADLINE_S = 60.0
THREADS = 2
PRINTED_BYTES = (1 << 20) / 100
"""The log has two decimals, of MiB."""

COMPUTE_SHARE, COMPUTE_BYTES, TOTAL_SHARE = 0.05, 16 << 20, 0.01
USES = {
    "weights": "model",
    "kv_cache": "KV",
    "recurrent_state": "RS",
    "compute": "compute",
    "output": "output",
}
"""Parts of a prediction, and the engine's words for them."""

HOST = "host"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is to be."""

    name: str
    devices: int = 0
    on_devices: float = 1.0
    """Share of its layers."""

    experts_aside: bool = False

    def arrangement(self, shape: Shape) -> Arrangement:
        if not self.devices:
            return on_host(shape)
        count = max(self.devices, round(shape.blocks * self.on_devices))
        aside = len(shape.layers) if self.experts_aside else 0
        return arrange(shape, [1] * self.devices, on_devices=count, experts_on_host=aside)


PLACES = (
    Place("cpu"),
    Place("one", 1),
    Place("two", 2),
    Place("part", 1, 0.5),
    Place("two-part", 2, 0.6),
    Place("aside", 1, experts_aside=True),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One part on one device, in bytes."""

    device: str
    part: str
    predicted: int
    real: int
    lines: int
    """Of the log that were added up."""

    above: float = 0.0
    """Bytes by which a prediction may be above beside what is printed: where it is a bound."""

    @property
    def fits(self) -> bool:
        off = abs(self.predicted - self.real)
        if 0 < self.predicted - self.real <= self.above + PRINTED_BYTES:
            return True
        if self.part == "compute":
            return off <= max(COMPUTE_SHARE * self.real, COMPUTE_BYTES)
        if self.part == "total":
            return self.predicted >= self.real * (1 - TOTAL_SHARE) - self.lines * PRINTED_BYTES
        return off <= max(1, self.lines) * PRINTED_BYTES + 1


@dataclass(frozen=True, slots=True)
class Load:
    """One load, predicted and real."""

    model: str
    place: str
    setting: Setting
    rows: tuple[Row, ...] = ()
    error: str | None = None
    seconds: float = 0.0

    @property
    def fits(self) -> bool:
        return self.error is None and all(row.fits for row in self.rows)


class Cannot(Exception):
    """The engine did not load it."""


@cache
def processor() -> tuple[Engine, Installed]:
    engine = Xllamacpp(os.environ)
    return engine, engine.find()


@cache
def vulkan(devices: int) -> tuple[Engine, Installed]:
    """Find the server whose devices are software; llama.cpp lists one only if it is named.

    Raises:
        RuntimeError: It cannot be had.
    """
    sys.path.insert(0, str(ROOT))
    from tests.fakes.vulkan_engine import program  # noqa: PLC0415

    environment = {**os.environ, "GGML_VK_VISIBLE_DEVICES": ",".join("0" * devices)}
    engine = LlamaServer(str(program()), environment)
    found = engine.find()
    if found.reason or len(found.devices) != devices:
        raise RuntimeError(found.reason or f"{len(found.devices)} Vulkan devices, not {devices}")
    return engine, found


def load(name: str, file: Path, shape: Shape, place: Place, setting: Setting) -> Load:
    """Load for real, and predict."""
    began = time.perf_counter()
    arrangement = place.arrangement(shape)
    try:
        kinds = ["vulkan"] * place.devices
        memory = memory_of(shape, setting, arrangement, kinds, mixed_batches=not place.devices)
        report = really(file, shape, place, arrangement, setting)
    except Exception as error:  # noqa: BLE001 (a crash is a result here, and is shown)
        return Load(name, place.name, setting, error=f"{type(error).__name__}: {error}")
    rows = tuple(compared(memory, report, place.devices, allowances(shape, setting)))
    return Load(name, place.name, setting, rows, seconds=time.perf_counter() - began)


def really(
    file: Path, shape: Shape, place: Place, arrangement: Arrangement, setting: Setting
) -> LoadReport:
    """Start the engine as localllm does, and end it when it has loaded.

    Raises:
        Cannot: It died, or was too slow; the error has the end of its log.
    """
    engine, found = vulkan(place.devices) if place.devices else processor()
    serving = _serving(file, found, shape, (arrangement, setting))
    with tempfile.TemporaryDirectory(prefix="lvf") as folder:
        spec = engine.launch(found, serving, Endpoint(socket=Path(folder) / "e.sock"))
        environment = {**os.environ, **spec.env}
        if place.devices:
            environment["GGML_VK_VISIBLE_DEVICES"] = ",".join("0" * place.devices)
        return parse_load_log(log_of(spec.argv, environment))


def _serving(
    file: Path, found: Installed, shape: Shape, asked: tuple[Arrangement, Setting]
) -> Serving:
    arrangement, setting = asked
    return Serving(
        model_file=file,
        file_bytes=file.stat().st_size,
        alias="tiny",
        context=setting.context,
        parallel=setting.parallel,
        kv_type=setting.kv_type,
        micro_batch=setting.micro_batch,
        threads=THREADS,
        host_cache_bytes=0,
        devices=found.devices if arrangement.devices else (),
        split=tuple(share.count for share in arrangement.devices),
        layers=shape.blocks,
        experts_on_host=arrangement.experts_on_host,
    )


def asked(name: str, file: Path, shape: Shape, setting: Setting) -> Load:
    """As `load`, on the processor, by llama.cpp's own estimate: nothing but the header is read.

    Of weights on a processor the estimate leaves some out, so they are not compared.
    """
    began = time.perf_counter()
    _, found = processor()
    serving = _serving(file, found, shape, (on_host(shape), setting))
    answer = estimate(found, serving, os.environ, deadline_s=DEADLINE_S)
    if not isinstance(answer, Estimate):
        return Load(name, "estimate", setting, error=str(answer))
    memory = memory_of(shape, setting, on_host(shape), ())
    rows = compared(memory, answer.report, 0, allowances(shape, setting))
    kept = tuple(row for row in rows if row.part not in ("weights", "total"))
    return Load(name, "estimate", setting, kept, seconds=time.perf_counter() - began)


def log_of(argv: Sequence[str], environment: dict[str, str]) -> str:
    """Run until the model is loaded; then kill.

    Raises:
        Cannot: It did not get there.
    """
    with subprocess.Popen(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        errors="replace",
    ) as child:
        assert child.stdout is not None
        signal.signal(signal.SIGALRM, lambda *_: child.kill())
        signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
        lines: list[str] = []
        try:
            for line in child.stdout:
                lines.append(line)
                if any(words in line for words in LOADED):
                    return "".join(lines)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            child.kill()
    raise Cannot(" / ".join(line.strip() for line in lines[-4:]))


def allowances(shape: Shape, setting: Setting) -> Mapping[str, float]:
    """What a prediction may be above: a bound, or what an engine only has if asked to embed."""
    embeddings = setting.parallel * shape.header.embedding * FLOAT_BYTES if shape.embeds else 0
    replayed = shape.header.architecture in REPLAYED
    return {"output": embeddings, "compute": 0.0 if replayed else inf}


def compared(
    memory: Sequence[Memory], report: LoadReport, devices: int, above: Mapping[str, float]
) -> Iterator[Row]:
    """Line up what was predicted with what the log says, device by device, the host last."""
    real: Counter[tuple[str, str]] = Counter()
    lines: Counter[tuple[str, str]] = Counter()
    for buffer in report.buffers:
        key = (_where(buffer), buffer.use)
        real[key] += buffer.size_bytes
        lines[key] += 1
    for device, part in zip([f"Vulkan{n}" for n in range(devices)] + [HOST], memory, strict=True):
        rows = [
            Row(
                device,
                name,
                int(getattr(part, name)),
                real[device, use],
                lines[device, use],
                above.get(name, 0.0),
            )
            for name, use in USES.items()
        ]
        yield from (row for row in rows if row.predicted or row.real)
        yield Row(
            device,
            "total",
            sum(row.predicted for row in rows),
            sum(row.real for row in rows),
            sum(row.lines for row in rows),
        )


def _where(buffer: Buffer) -> str:
    return HOST if buffer.on_host else buffer.where
