"""The user's own SGLang: `sglang serve` on the GPUs of the plan, every weight split over all of them.

Its flags are asked of it, not assumed. It takes its key on the command line alone, where every
user of the machine could read it, so we start it by a few words of Python that add the key inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from localllm.engines.base import Endpoint, Installed, LaunchSpec, Serving, cuda_environment
from localllm.engines.serving_launchers import (
    PRIVATE,
    Launcher,
    find_launcher,
    kv_type_of,
    quiet_s,
)
from localllm.engines.workers.http import KEY_VARIABLE
from localllm.formats.header import Format

_START = f"""\
import os, sys
sys.path[:] = [p for p in sys.path if p]  # never code from the working directory
key = os.environ.pop({KEY_VARIABLE!r}, None)
sys.argv += [] if key is None else ["--api-key", key]
from sglang.cli.main import main
main()
"""
_REQUIRED = (
    "--api-key",
    "--served-model-name",
    "--context-length",
    "--max-running-requests",
    "--max-total-tokens",
    "--tp-size",
    "--kv-cache-dtype",
    "--enable-metrics",
)
_OPTIONAL = {
    "--enable-cache-report": ("--enable-cache-report",),
    "--log-level-http": ("--log-level-http", "warning"),
}
_KV_TYPES = {"f16": "auto", "bf16": "auto", "q8_0": "fp8_e4m3"}
"""Auto is the model's own type, of two bytes."""

_LAUNCHER = Launcher(
    engine="sglang",
    command=lambda _path, interpreter: (interpreter, "-c", _START, "serve"),
    help=("--model-type", "llm", "--help"),
    required=_REQUIRED,
)


class Sglang:
    """Any recent release.

    Args:
        environment: What the queries see, CUDA_VISIBLE_DEVICES and the like.
    """

    name = "sglang"
    formats = frozenset({Format.SAFETENSORS})

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def find(self) -> Installed:
        return find_launcher(_LAUNCHER, self._environment)

    def launch(self, found: Installed, serving: Serving, endpoint: Endpoint) -> LaunchSpec:
        argv = [
            *(*found.program, "--model-path", str(serving.model_file)),
            *("--served-model-name", serving.alias),
            *("--host", "127.0.0.1", "--port", str(endpoint.port)),
            *_how_much(serving),
            "--enable-metrics",
            *(
                word
                for flag, words in _OPTIONAL.items()
                if flag in found.abilities
                for word in words
            ),
            *serving.engine_args,
        ]
        key = {} if endpoint.key is None else {KEY_VARIABLE: endpoint.key}
        return LaunchSpec(
            argv,
            endpoint,
            quiet_s(serving),
            env={**found.env, **PRIVATE, **cuda_environment(serving.uuids), **key},
            tells_placement=False,
        )


def _how_much(serving: Serving) -> Sequence[str]:
    """Bound the cache by its tokens: left alone, it takes nine tenths of what is free."""
    return (
        *("--context-length", str(serving.context), "--max-total-tokens", str(serving.context)),
        *("--max-running-requests", str(serving.parallel)),
        *("--kv-cache-dtype", kv_type_of(serving, "sglang", _KV_TYPES)),
        *("--tp-size", str(max(1, len(serving.devices)))),
    )
