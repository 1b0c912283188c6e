"""Runs in the child: holds mlx to the memory that the plan gave it, and logs what it took.

The plan's own formulas are asked once more, about the very folder that is loaded. mlx's own
defaults would keep half as much again as a Mac recommends, and never give back what was used once.
"""

from __future__ import annotations

import importlib
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from localllm.engines.workers.mlx.worker import WorkerSettings, device_name
from localllm.fit.mlx import Reading, activation_bytes, cache_bytes
from localllm.fit.shape import Shape, shape_of
from localllm.formats.header import Tensor
from localllm.formats.hf_header import header_from_config
from localllm.formats.safetensors import parse_safetensors
from localllm.units import MIB

_RECOMMENDED = "max_recommended_working_set_size"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes by use."""

    weights: int
    caches: int
    """Of the requests being answered, and kept for later ones."""

    computing: int


def plan_limits(settings: WorkerSettings) -> Limits:
    """Work out what the plan allows."""
    shape = _read_shape(Path(settings.model))
    reading = Reading(
        tokens=settings.context,
        chunk=settings.micro_batch,
        kv_bits=settings.kv_bits,
        fused=device_name(mx) != "CPU",
    )
    return Limits(
        weights=shape.header.weights_bytes,
        caches=cache_bytes(shape, reading) + settings.host_cache_bytes,
        computing=activation_bytes(shape, reading),
    )


def set_limits(limits: Limits) -> None:
    """Tell mlx, and keep mlx-lm from wiring all that the system recommends.

    Several processes that each wire so much have hung the kernel: mlx-lm's pull request 1252.
    """
    mx.set_memory_limit(limits.weights + limits.caches + limits.computing)
    mx.set_cache_limit(limits.computing)
    recommended = mx.device_info().get(_RECOMMENDED)
    if recommended is not None:
        mx.set_wired_limit(min(limits.weights + limits.caches, int(recommended)))
    generate: Any = importlib.import_module("mlx_lm.generate")  # a function hides the module
    generate.maybe_set_recommended_wired_limit = lambda: None


def log_load(settings: WorkerSettings) -> None:
    """Print what is in memory now, in the words of llama.cpp's log, which the daemon reads."""
    where = device_name(mx)
    if where != "CPU":
        print(f"localllm: offloaded {settings.layers}/{settings.layers} layers to GPU")  # noqa: T201
    size_mib = mx.get_active_memory() / MIB
    print(f"localllm: {where} model buffer size = {size_mib:.2f} MiB", flush=True)  # noqa: T201


def _read_shape(folder: Path) -> Shape:
    """Read the headers of the files that mlx-lm loads, as the plan did."""
    files = sorted(folder.glob("model*.safetensors"))
    header = header_from_config(
        (folder / "config.json").read_bytes(),
        [tensor for file in files for tensor in _read_tensors(file)],
        file_bytes=sum(file.stat().st_size for file in files),
        files=len(files),
    )
    return shape_of(header)


def _read_tensors(file: Path) -> tuple[Tensor, ...]:
    with (
        file.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as whole,
        memoryview(whole) as view,
    ):
        return parse_safetensors(view, file_bytes=len(view))
