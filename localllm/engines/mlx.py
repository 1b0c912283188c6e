"""mlx-lm in a worker process of ours: Apple's own engine, for models in MLX's format."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import msgspec

from localllm.engines.base import (
    Endpoint,
    EngineDevice,
    Installed,
    LaunchSpec,
    Sampling,
    Serving,
    cuda_environment,
    start_deadline_s,
)
from localllm.engines.mlx_worker import WorkerSettings
from localllm.engines.query import Answer, ask
from localllm.engines.worker_http import KEY_VARIABLE, Listening
from localllm.errors import EngineUnusable
from localllm.formats.header import Format
from localllm.hardware.machine import DeviceKind

_WORKER = "localllm.engines.mlx_worker"
_OLDEST = (0, 32)
"""Before it, mlx-lm ran Python that a model's folder brings along: CVE-2026-5843."""

_KV_BITS = {"f16": None, "bf16": None, "q8_0": 8, "q4_0": 4}
_KINDS = {"MTL0": DeviceKind.METAL, "CUDA0": DeviceKind.CUDA}


class _SeenDevice(msgspec.Struct):
    name: str
    description: str
    memory_total: int | None
    memory_free: int | None


class _Seen(msgspec.Struct):
    version: str
    devices: tuple[_SeenDevice, ...]


class Mlx:
    """For folders in MLX's format: on Metal, on CUDA where that build is here, or the processor."""

    name = "mlx"

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def find(self) -> Installed:
        """Ask mlx for its device, in a process of its own: it may crash in a driver."""
        if importlib.util.find_spec("mlx_lm") is None:
            return self._unusable("the package mlx-lm is not installed")
        program = (sys.executable, "-P", "-m", _WORKER)  # -P: never code from the working directory
        answer = ask((*program, "--devices"), self._environment)
        if answer.failure is not None:
            return self._unusable(answer.failure, program)
        return self._installed(program, answer)

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

    def _installed(self, program: Sequence[str], answer: Answer) -> Installed:
        try:
            seen = msgspec.json.decode(answer.last_line, type=_Seen)
        except msgspec.DecodeError as error:
            return self._unusable(f"its device list is unreadable: {error}", program)
        if _numbers(seen.version) < _OLDEST:
            oldest = ".".join(str(number) for number in _OLDEST)
            return self._unusable(f"mlx-lm {seen.version} is older than {oldest}", program)
        return Installed(
            self.name,
            seen.version,
            program,
            tuple(_engine_device(device) for device in seen.devices),
            frozenset({"unix_socket"}),
            formats=frozenset({Format.MLX}),
            origin="the package mlx-lm",
        )

    def _unusable(self, reason: str, program: Sequence[str] = ()) -> Installed:
        formats = frozenset({Format.MLX})
        return Installed(self.name, None, program, formats=formats, reason=reason)


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


def _engine_device(seen: _SeenDevice) -> EngineDevice:
    kind = _KINDS[seen.name]
    return EngineDevice(seen.name, kind, seen.description, seen.memory_total, seen.memory_free)


def _numbers(version: str) -> tuple[int, ...]:
    """Read 0.32.2 and 0.33.0.dev1 alike: as far as there are numbers."""
    words = version.split(".")[: len(_OLDEST)]
    return tuple(int(word) for word in words if word.isdecimal())
