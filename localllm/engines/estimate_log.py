"""Reads what llama.cpp says of a model that it measured and did not load.

With `--fit on` it makes the model and the context without memory for either, and prints what
they would take (verbosity 5). Only a part of that is as exact as the log of a load:

- compute, output and recurrent state: the same lines, to 0.01 MiB;
- the KV cache: its own line with the sum to 0.01 MiB, and the device of each layer;
- weights: whole MiB, rounded down, in the table at the end. The lines of a load all say 0.00.

Source: llama.cpp, common/fit.cpp, src/llama-kv-cache.cpp, src/llama-context.cpp.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from localllm.engines.load_log import LOG_STEP_BYTES, Buffer, LoadReport, parse_load_log

_MIB = 1 << 20
_TABLE = "common_memory_breakdown_print: |"
_NOISE = "llama_graph_n_input_tensors: "
"""Four of five lines: which node reads which input."""

_ROW = re.compile(
    r"common_memory_breakdown_print: \|   - (?P<device>\S+).*\|.*?\d+ ="
    r"\s+(?P<model>\d+) \+\s+(?P<context>\d+) \+\s+(?P<compute>\d+)\b"
)
_MEASURED_ONCE = re.compile(
    r"fitting params to free memory took|failed to fit params|error while trying to fit params"
)
_MODEL_LAYER = re.compile(r"load_tensors: layer\s+\d+ assigned to device (\w+)")
_CACHE_LAYER = re.compile(r"llama_kv_cache: layer\s+\d+: dev = (\w+)")
_CACHE = re.compile(r"llama_kv_cache: size =\s+([\d.]+) MiB")
_REFUSED = re.compile(r"error loading model: (?P<said>.+)")
_OF_THE_MACHINE = re.compile(r"alloc|memory|device|backend|open|vk::|CUDA", re.IGNORECASE)
"""In an error: it is about this moment here, not about the model."""

_UNKNOWN = re.compile(r"unknown model architecture: '(?P<name>.*)'")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the engine would allocate."""

    report: LoadReport
    """As of a load, but for `resolution_bytes`; of weights on the processor the repacked are
    told apart (CPU_REPACK), all others are in CPU, whether mapped, pinned or neither."""

    layer_devices: tuple[str, ...]
    """Where each layer is computed, the output layer last; CPU for the processor."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The engine will not load this model; a newer one may."""

    said: str
    unknown_architecture: str | None = None
    """Its name, if that is why."""


@dataclass(frozen=True, slots=True)
class NoEstimate:
    """The engine gave no answer, which says nothing about the model."""

    reason: str


Answered: TypeAlias = Estimate | Refused | NoEstimate


def until_measured(lines: Iterator[str]) -> Iterator[str]:
    """Pass on what belongs to the measuring: what follows is a load, which nobody wants."""
    in_table = False
    for line in lines:
        if _TABLE in line:
            in_table = True
        elif in_table or _MEASURED_ONCE.search(line):
            return
        if _NOISE not in line:
            yield line
        if _REFUSED.search(line):
            return


def parse_estimate(text: str) -> Answered:
    """Read the log up to the end of the measuring."""
    if (refused := _REFUSED.search(text)) is not None:
        return _refusal(refused["said"].strip())
    rows = {m["device"]: m for m in _ROW.finditer(text)}
    if not rows:
        return NoEstimate("its log has no table of memory by device")
    logged = parse_load_log(text)
    exact = [b for b in logged.buffers if b.use not in ("model", "KV")]
    weights = [
        Buffer(_name(device), "model", int(row["model"]) * _MIB, _MIB)
        for device, row in rows.items()
        if int(row["model"])
    ]
    context = {_name(device): int(row["context"]) * _MIB for device, row in rows.items()}
    buffers = (*weights, *_caches(_shares(text), _states(exact), context), *exact)
    layers = tuple(m.group(1) for m in _MODEL_LAYER.finditer(text))
    return Estimate(LoadReport(buffers, logged.offloaded), layers)


def _refusal(said: str) -> Refused | NoEstimate:
    if (unknown := _UNKNOWN.search(said)) is not None:
        return Refused(said, unknown["name"])
    return NoEstimate(said) if _OF_THE_MACHINE.search(said) else Refused(said)


def _states(buffers: Sequence[Buffer]) -> Mapping[str, int]:
    sizes = Counter[str]()
    for buffer in buffers:
        if buffer.use == "RS":
            sizes[buffer.where] += buffer.size_bytes
    return sizes


def _name(device: str) -> str:
    return "CPU" if device == "Host" else device


def _shares(text: str) -> Mapping[str, float]:
    """Share out each cache over its layers' devices, which is exact if its layers are alike."""
    shares, layers = defaultdict[str, float](float), Counter[str]()
    for line in text.splitlines():
        if (layer := _CACHE_LAYER.search(line)) is not None:
            layers[layer.group(1)] += 1
        elif (cache := _CACHE.search(line)) is not None:
            for device, count in layers.items():
                shares[device] += float(cache.group(1)) * _MIB * count / layers.total()
            layers.clear()
    return shares


def _caches(
    shares: Mapping[str, float], state: Mapping[str, int], context: Mapping[str, int]
) -> Sequence[Buffer]:
    """Make buffers of the shares; where the table disagrees, of its whole MiB.

    The table's context is the cache and the recurrent state, rounded down.
    """
    caches = []
    for device, told in context.items():
        size_bytes, resolution_bytes = round(shares.get(device, 0)), LOG_STEP_BYTES
        slack = size_bytes + state.get(device, 0) - told
        if not -_MIB // 4 <= slack <= _MIB + _MIB // 4:
            size_bytes, resolution_bytes = told - state.get(device, 0), _MIB
        if size_bytes > 0:
            caches.append(Buffer(device, "KV", size_bytes, resolution_bytes))
    return caches
