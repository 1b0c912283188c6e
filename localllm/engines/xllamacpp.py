"""llama.cpp's server from the prebuilt wheel `xllamacpp`, in a worker process of ours."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from localllm.engines.base import (
    NO_BACKTRACE,
    SAVES_SLOTS,
    Drafting,
    Endpoint,
    Installed,
    LaunchSpec,
    Sampling,
    Serving,
    abilities_of_build,
    cuda_environment,
    library_environment,
    start_deadline_s,
)
from localllm.engines.worker_query import ask_worker, program_of
from localllm.engines.workers.xllamacpp import KEY_VARIABLE, DraftSettings, WorkerSettings
from localllm.formats.header import Format

_WORKER = "localllm.engines.workers.xllamacpp"


class Xllamacpp:
    """The default on processors and, on Macs, on Metal.

    Args:
        environment: What the queries see.
        folder: Where a fetched wheel is installed; None: beside localllm.
        origin: What that wheel is called.
        libraries: Folders with shared libraries that it needs.
    """

    name = "xllamacpp"
    formats = frozenset({Format.GGUF})

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path | None = None,
        *,
        origin: str = "the package xllamacpp",
        libraries: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._origin = origin
        self._own = {
            **library_environment(libraries, environment),
            **({} if folder is None else _import_path(folder, environment)),
        }
        self._environment = {**environment, **self._own}

    def find(self) -> Installed:
        """Ask the wheel for its devices, in a process of its own: it may crash in a driver."""
        if self._folder is None and importlib.util.find_spec("xllamacpp") is None:
            return Installed(self.name, None, (), reason="the package xllamacpp is not installed")
        program, told = program_of(_WORKER), ask_worker(_WORKER, self._environment)
        if isinstance(told, str):
            return Installed(self.name, None, program, reason=told)
        return Installed(
            self.name,
            told.version,
            program,
            told.devices,
            frozenset({"unix_socket", SAVES_SLOTS}) | abilities_of_build(_build(told.version)),
            origin=self._origin,
            env=self._own,
            hint=told.hint,
        )

    def launch(self, found: Installed, serving: Serving, endpoint: Endpoint) -> LaunchSpec:
        settings = WorkerSettings(
            model=str(serving.model_file),
            alias=serving.alias,
            context=serving.context,
            parallel=serving.parallel,
            kv_type=serving.kv_type,
            micro_batch=serving.micro_batch,
            threads=serving.threads,
            host_cache_mib=serving.host_cache_bytes >> 20,
            checkpoints=serving.checkpoints,
            whole=serving.whole,
            devices=[device.name for device in serving.devices],
            split=list(serving.split),
            experts_on_host=serving.experts_on_host,
            projector=None if serving.projector_file is None else str(serving.projector_file),
            batch=serving.batch,
            task=serving.task.value,
            pooling=serving.pooling,
            draft=_draft(serving.drafting),
            adapters=[(str(adapter.file), adapter.scale) for adapter in serving.adapters],
            sampling=_sampling(serving.sampling),
            socket=None if endpoint.socket is None else str(endpoint.socket),
            port=endpoint.port,
            prefix_folder=None if serving.prefix_folder is None else str(serving.prefix_folder),
            pins_slots=serving.pins_slots,
        )
        key = {} if endpoint.key is None else {KEY_VARIABLE: endpoint.key}
        return LaunchSpec(
            argv=[*found.program, json.dumps(asdict(settings))],
            endpoint=endpoint,
            start_deadline_s=start_deadline_s(serving),
            env={**found.env, **cuda_environment(serving.uuids), **NO_BACKTRACE, **key},
        )


def _build(version: str | None) -> int | None:
    """llama.cpp's build, which is the last part of the wheel's version: 2026.10.11549."""
    last = (version or "").partition("+")[0].rpartition(".")[2]
    return int(last) if last.isdecimal() else None


def _import_path(folder: Path, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Have the worker import the fetched wheel, and localllm from where it is."""
    name = "PYTHONPATH"
    others = [environment[name]] if environment.get(name) else []
    return {name: ":".join([str(folder), *others])}


def _draft(drafting: Drafting | None) -> DraftSettings | None:
    if drafting is None:
        return None
    return DraftSettings(
        file=None if drafting.file is None else str(drafting.file),
        tokens=drafting.tokens,
        kv_type=drafting.kv_type,
        device=None if drafting.device is None else drafting.device.name,
        layers=drafting.layers,
    )


def _sampling(sampling: Sampling) -> dict[str, float]:
    """In llama.cpp's own words; only what is said."""
    stated = {
        "temp": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
    }
    return {name: value for name, value in stated.items() if value is not None}
