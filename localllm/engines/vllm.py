"""The user's own vLLM: `vllm serve` on the GPUs of the plan, every weight split over all of them.

Its flags are asked of it, not assumed: they change with every other release.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from localllm.engines.base import (
    Endpoint,
    Installed,
    LaunchSpec,
    Sampling,
    Serving,
    cuda_environment,
)
from localllm.engines.serving_launchers import (
    PRIVATE,
    Launcher,
    find_launcher,
    free_share,
    kv_type_of,
    quiet_s,
)
from localllm.formats.header import Format

_REQUIRED = (
    "--served-model-name",
    "--max-model-len",
    "--max-num-seqs",
    "--tensor-parallel-size",
    "--gpu-memory-utilization",
    "--kv-cache-dtype",
    "--override-generation-config",
)
_OPTIONAL = (
    "--disable-log-requests",
    "--disable-uvicorn-access-log",
    "--disable-fastapi-docs",
    "--enable-prompt-tokens-details",
)
_KV_TYPES = {"f16": "auto", "bf16": "auto", "q8_0": "fp8"}
"""Auto is the model's own type, of two bytes."""

_LAUNCHER = Launcher(
    engine="vllm",
    command=lambda path, _interpreter: (path, "serve"),
    help=("--help=all",),
    required=_REQUIRED,
)


class Vllm:
    """Any recent release.

    Args:
        environment: What the queries see, CUDA_VISIBLE_DEVICES and the like.
    """

    name = "vllm"
    formats = frozenset({Format.SAFETENSORS})

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def find(self) -> Installed:
        return find_launcher(_LAUNCHER, self._environment)

    def launch(self, found: Installed, serving: Serving, endpoint: Endpoint) -> LaunchSpec:
        argv = [
            *(*found.program, str(serving.model_file), "--served-model-name", serving.alias),
            *_where(endpoint),
            *_how_much(serving),
            *_sampling(serving.sampling),
            *(flag for flag in _OPTIONAL if flag in found.abilities),
            *serving.engine_args,
        ]
        key = {} if endpoint.key is None else {"VLLM_API_KEY": endpoint.key}
        return LaunchSpec(
            argv,
            endpoint,
            quiet_s(serving),
            env={
                **found.env,
                **PRIVATE,
                "VLLM_NO_USAGE_STATS": "1",
                **cuda_environment(serving.uuids),
                **key,
            },
            tells_placement=False,
        )


def _where(endpoint: Endpoint) -> Sequence[str]:
    if endpoint.socket is not None:
        return ("--uds", str(endpoint.socket))
    return ("--host", "127.0.0.1", "--port", str(endpoint.port))


def _how_much(serving: Serving) -> Sequence[str]:
    share = free_share(serving)
    return (
        *("--max-model-len", str(serving.context), "--max-num-seqs", str(serving.parallel)),
        *("--kv-cache-dtype", kv_type_of(serving, "vllm", _KV_TYPES)),
        *("--tensor-parallel-size", str(max(1, len(serving.devices)))),
        *(() if share is None else ("--gpu-memory-utilization", f"{share:.2f}")),
    )


def _sampling(sampling: Sampling) -> Sequence[str]:
    stated = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
    }
    said = {name: value for name, value in stated.items() if value is not None}
    return ("--override-generation-config", json.dumps(said)) if said else ()
