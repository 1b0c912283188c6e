"""mlx-lm in a worker process of ours: Apple's own engine, for models in MLX's format."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from localllm.engines.base import (
    SAVES_SLOTS,
    Endpoint,
    Installed,
    LaunchSpec,
    Sampling,
    Serving,
    cuda_environment,
    start_deadline_s,
)
from localllm.engines.worker_query import ask_worker, program_of
from localllm.engines.workers.http import KEY_VARIABLE, Listening
from localllm.engines.workers.mlx.worker import WorkerSettings
from localllm.errors import EngineUnusable
from localllm.formats.header import Format

_WORKER = "localllm.engines.workers.mlx.worker"
_OLDEST = (0, 32)
"""Before it, mlx-lm ran Python that a model's folder brings along: CVE-2026-5843."""

_KV_BITS = {"f16": None, "bf16": None, "q8_0": 8, "q4_0": 4}


class Mlx:
    """For folders in MLX's format: on Metal, on CUDA where that build is here, or the processor."""

    name = "mlx"
    formats = frozenset({Format.MLX})

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def find(self) -> Installed:
        """Ask mlx for its device, in a process of its own: it may crash in a driver."""
        if importlib.util.find_spec("mlx_lm") is None:
            return self._unusable("the package mlx-lm is not installed")
        program, told = program_of(_WORKER), ask_worker(_WORKER, self._environment)
        if isinstance(told, str):
            return self._unusable(told, program)
        if _numbers(told.version) < _OLDEST:
            oldest = ".".join(str(number) for number in _OLDEST)
            return self._unusable(f"mlx-lm {told.version} is older than {oldest}", program)
        return Installed(
            self.name,
            told.version,
            program,
            told.devices,
            frozenset({"unix_socket", SAVES_SLOTS}),
            formats=self.formats,
            origin="the package mlx-lm",
        )

    def launch(self, found: Installed, serving: Serving, endpoint: Endpoint) -> LaunchSpec:
        """Say how to serve.

        Raises:
            EngineUnusable: It is no model for mlx, or its cache cannot be of that type.
        """
        key = {} if endpoint.key is None else {KEY_VARIABLE: endpoint.key}
        return LaunchSpec(
            argv=[*found.program, json.dumps(asdict(_settings(serving, endpoint)))],
            endpoint=endpoint,
            start_deadline_s=start_deadline_s(serving),
            # A tokenizer is read from the folder; what it lacks is not to be looked for elsewhere.
            env={**cuda_environment(serving.uuids), "HF_HUB_OFFLINE": "1", **key},
        )

    def _unusable(self, reason: str, program: Sequence[str] = ()) -> Installed:
        return Installed(self.name, None, program, formats=self.formats, reason=reason)


def _settings(serving: Serving, endpoint: Endpoint) -> WorkerSettings:
    if serving.model_file.suffix == ".gguf":
        raise EngineUnusable(
            f"{serving.model_file} is not for mlx.",
            why="mlx's reader of GGUF trusts what a file says, and can be made to write anywhere",
            fix="take the model's folder in MLX's format, or another engine for the file",
        )
    return WorkerSettings(
        model=str(serving.model_file),
        alias=serving.alias,
        context=serving.context,
        parallel=serving.parallel,
        kv_bits=_kv_bits(serving.kv_type),
        micro_batch=serving.micro_batch,
        host_cache_bytes=serving.host_cache_bytes,
        on_device=bool(serving.devices),
        layers=serving.layers,
        sampling=_sampling(serving.sampling),
        listening=Listening(
            None if endpoint.socket is None else str(endpoint.socket), endpoint.port
        ),
        prefix_folder=None if serving.prefix_folder is None else str(serving.prefix_folder),
    )


def _kv_bits(kv_type: str) -> int | None:
    if kv_type not in _KV_BITS:
        raise EngineUnusable(
            f"mlx has no cache of the type {kv_type}.",
            why=f"its caches are {', '.join(_KV_BITS)}",
            fix="choose one of them, or leave the type to the plan",
        )
    return _KV_BITS[kv_type]


def _sampling(sampling: Sampling) -> dict[str, float]:
    """Only what is said."""
    return {name: value for name, value in asdict(sampling).items() if value is not None}


def _numbers(version: str) -> tuple[int, ...]:
    """Read 0.32.2 and 0.33.0.dev1 alike: as far as there are numbers."""
    words = version.split(".")[: len(_OLDEST)]
    return tuple(int(word) for word in words if word.isdecimal())
