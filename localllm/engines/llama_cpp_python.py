"""llama.cpp by the binding `llama-cpp-python`, for those who have it, in a worker process of ours."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import asdict

from localllm.engines.base import (
    NO_BACKTRACE,
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
from localllm.engines.workers.llama_cpp_python.worker import WorkerSettings
from localllm.errors import EngineUnusable
from localllm.formats.header import Format

_WORKER = "localllm.engines.workers.llama_cpp_python.worker"


class LlamaCppPython:
    """One sequence, so one request at a time: others wait for it."""

    name = "llama-cpp-python"
    formats = frozenset({Format.GGUF})

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def find(self) -> Installed:
        """Ask the binding for its devices, in a process of its own: it may crash in a driver."""
        if importlib.util.find_spec("llama_cpp") is None:
            why = "the package llama-cpp-python is not installed"
            return Installed(self.name, None, (), most_at_once=1, reason=why)
        program, told = program_of(_WORKER), ask_worker(_WORKER, self._environment)
        if isinstance(told, str):
            return Installed(self.name, None, program, most_at_once=1, reason=told)
        return Installed(
            self.name,
            told.version,
            program,
            told.devices,
            frozenset({"unix_socket", SAVES_SLOTS}),
            most_at_once=1,
            origin="the package llama-cpp-python",
            hint=told.hint,
        )

    def launch(self, found: Installed, serving: Serving, endpoint: Endpoint) -> LaunchSpec:
        if serving.experts_on_host:
            raise _keeps_no_experts_on_the_host(serving)
        settings = WorkerSettings(
            model=str(serving.model_file),
            alias=serving.alias,
            context=serving.context,
            kv_type=serving.kv_type,
            micro_batch=serving.micro_batch,
            threads=serving.threads,
            whole=serving.whole,
            devices=[device.name for device in serving.devices],
            split=list(serving.split),
            sampling=_sampling(serving.sampling),
            listening=Listening(
                None if endpoint.socket is None else str(endpoint.socket), endpoint.port
            ),
            prefix_folder=None if serving.prefix_folder is None else str(serving.prefix_folder),
        )
        key = {} if endpoint.key is None else {KEY_VARIABLE: endpoint.key}
        return LaunchSpec(
            argv=[*found.program, json.dumps(asdict(settings))],
            endpoint=endpoint,
            start_deadline_s=start_deadline_s(serving),
            env={**found.env, **cuda_environment(serving.uuids), **NO_BACKTRACE, **key},
        )


def _sampling(sampling: Sampling) -> dict[str, float]:
    """In OpenAI's words; only what is said."""
    return {name: value for name, value in asdict(sampling).items() if value is not None}


def _keeps_no_experts_on_the_host(serving: Serving) -> EngineUnusable:
    return EngineUnusable(
        f"llama-cpp-python cannot serve {serving.alias} as planned.",
        why=f"the plan keeps the experts of {serving.experts_on_host} layers on the host, "
        "and this engine moves whole layers only",
        fix="choose another engine: --engine xllamacpp, or llama-server",
    )
