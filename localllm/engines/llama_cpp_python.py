"""llama.cpp by the binding `llama-cpp-python`, for those who have it, in a worker process of ours."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
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
from localllm.engines.diagnosis import diagnose
from localllm.engines.llama_cpp_python_worker import SeenDevice, WorkerSettings
from localllm.engines.query import Answer, ask
from localllm.engines.worker_http import KEY_VARIABLE, Listening
from localllm.engines.xllamacpp import kind_of
from localllm.errors import EngineUnusable

_WORKER = "localllm.engines.llama_cpp_python_worker"


class _Seen(msgspec.Struct):
    version: str
    devices: tuple[SeenDevice, ...]


class LlamaCppPython:
    """One sequence, so one request at a time: others wait for it."""

    name = "llama-cpp-python"

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def find(self) -> Installed:
        """Ask the binding for its devices, in a process of its own: it may crash in a driver."""
        if importlib.util.find_spec("llama_cpp") is None:
            why = "the package llama-cpp-python is not installed"
            return Installed(self.name, None, (), most_at_once=1, reason=why)
        program = (sys.executable, "-P", "-m", _WORKER)  # -P: never code from the working directory
        answer = ask((*program, "--devices"), self._environment)
        seen = _seen(answer)
        if isinstance(seen, str):
            return Installed(self.name, None, program, most_at_once=1, reason=seen)
        known = diagnose(answer.text)
        return Installed(
            self.name,
            seen.version,
            program,
            tuple(map(_engine_device, seen.devices)),
            frozenset({"unix_socket"}),
            most_at_once=1,
            origin="the package llama-cpp-python",
            hint=None if known is None else known.why,
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
        )
        key = {} if endpoint.key is None else {KEY_VARIABLE: endpoint.key}
        return LaunchSpec(
            argv=[*found.program, json.dumps(asdict(settings))],
            endpoint=endpoint,
            start_deadline_s=start_deadline_s(serving),
            env={**found.env, **cuda_environment(serving.uuids), **key},
        )


def _seen(answer: Answer) -> _Seen | str:
    """What the binding told, or why it did not."""
    if answer.failure is not None:
        return answer.failure
    try:
        return msgspec.json.decode(answer.last_line, type=_Seen)
    except msgspec.DecodeError as error:
        return f"its device list is unreadable: {error}"


def _engine_device(seen: SeenDevice) -> EngineDevice:
    kind = kind_of(seen.name)
    return EngineDevice(seen.name, kind, seen.description, seen.memory_total, seen.memory_free)


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
