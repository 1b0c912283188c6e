"""Runs in the child: mlx-lm's batching and prompt cache behind llama.cpp's HTTP, until it is killed.

Nothing is answered before the model is loaded. When the thread that generates dies, so does the
process: a worker that listens and never answers would look alive.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from localllm.engines.workers.http import Listening


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What the daemon asks for, as the JSON object on the command line."""

    model: str
    """The model's folder."""

    alias: str
    context: int
    parallel: int
    kv_bits: int | None
    """Of the cache; None: 16. With fewer, mlx-lm answers one request at a time."""

    micro_batch: int
    host_cache_bytes: int
    """What prompts of earlier requests may take beside the plan's own cache."""

    on_device: bool
    """Else the processor computes, also where there is a device."""

    layers: int
    """All there are, as the plan counts them; they are always in one place."""

    sampling: dict[str, float]
    """Defaults of requests, by OpenAI's names."""

    listening: Listening
    prefix_folder: str | None
    """Where files with what slots hold are; None: nothing is saved."""


def settings_from(text: str) -> WorkerSettings:
    """Read the settings."""
    told = json.loads(text)
    return WorkerSettings(**{**told, "listening": Listening(**told["listening"])})


def main(argument: str) -> None:
    """Serve what the JSON object asks for; `--devices` prints what this build can use."""
    if argument == "--devices":
        _print_devices()
        return
    settings = settings_from(argument)
    if not Path(settings.model).is_dir():  # mlx's reader of GGUF trusts what it reads
        raise SystemExit(f"mlx serves a model's folder, and {settings.model} is none")
    os.umask(0o077)  # the socket is the user's alone
    _choose_device(settings)
    try:
        from localllm.engines.workers.mlx.server import serve  # noqa: PLC0415  # costs seconds

        serve(settings)
    except BaseException:  # noqa: BLE001  # said here, since nothing is said after this
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)  # in an orderly end mlx 0.32 aborts over its threads, which looks like a crash


def device_name(mx: Any) -> str:  # noqa: ANN401
    """Name what mlx computes on, as llama.cpp's log would: MTL0, CUDA0 or CPU."""
    if mx.default_device() != mx.Device(mx.gpu):
        return "CPU"
    return "MTL0" if mx.metal.is_available() else "CUDA0"


def _choose_device(settings: WorkerSettings) -> None:
    """Before mlx-lm is imported, which keeps a stream on the device that it finds."""
    import mlx.core as mx  # noqa: PLC0415

    if not settings.on_device:
        mx.set_default_device(mx.cpu)


def _print_devices() -> None:
    import mlx.core as mx  # noqa: PLC0415

    name = device_name(mx)
    devices = [] if name == "CPU" else [_described(name, mx.device_info())]
    print(json.dumps({"version": version("mlx-lm"), "devices": devices}))  # noqa: T201


def _described(name: str, told: dict[str, str | int]) -> dict[str, str | int | None]:
    """Tell of a device; on a Mac, what a process may keep there counts, not all memory."""
    limits = ("max_recommended_working_set_size", "total_memory", "memory_size")
    return {
        "name": name,
        "description": told.get("device_name", name),
        "memory_total": next((told[key] for key in limits if key in told), None),
        "memory_free": told.get("free_memory"),
    }


if __name__ == "__main__":
    main(sys.argv[1])
