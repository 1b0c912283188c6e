"""Runs in the child: loads a model into `llama_cpp.Llama` exactly as the plan says."""

from __future__ import annotations

import sys
from typing import Any

from localllm.engines.workers.llama_cpp_python.worker import WorkerSettings, gpus

_DEBUG = 1
"""Of `ggml_log_level`. The binding's own logger takes the levels for others: it would print
thousands of lines at this one, and no error."""


def print_log(lib: Any) -> object:  # noqa: ANN401
    """Have llama.cpp's log printed as long as what is returned lives."""
    callback = lib.llama_log_callback(_print)
    lib.llama_log_set(callback, None)
    return callback


def load(settings: WorkerSettings, lib: Any) -> Any:  # noqa: ANN401
    """Load; the log tells each buffer and its size."""
    _expect_one_output(lib)
    llm = lib.Llama(settings.model, **_parameters(settings, lib))
    llm.verbose = False  # from here on it would print a line for each request
    return llm


def _print(level: int, text: bytes, _: object) -> None:
    if level != _DEBUG:
        sys.stderr.write(text.decode(errors="replace"))
        sys.stderr.flush()


def _expect_one_output(lib: Any) -> None:  # noqa: ANN401
    """Reserve memory for the output of one token, as llama.cpp's server does.

    The binding leaves the default, a whole batch: 96 MiB for SmolLM2, 512 MiB for Gemma. It has
    no parameter for it, but asks for the defaults by this name.
    """
    defaults = lib.llama_cpp.llama_context_default_params

    def with_one_output() -> Any:  # noqa: ANN401
        parameters = defaults()
        parameters.n_outputs_max = 1
        return parameters

    lib.llama_cpp.llama_context_default_params = with_one_output


def _parameters(settings: WorkerSettings, lib: Any) -> dict[str, Any]:  # noqa: ANN401
    """Set all that takes memory: what is left to the binding breaks the plan."""
    kv_type = getattr(lib, f"GGML_TYPE_{settings.kv_type.upper()}")
    return {
        "n_ctx": settings.context,
        "n_batch": settings.micro_batch,
        "n_ubatch": settings.micro_batch,
        "n_threads": settings.threads,
        "n_threads_batch": settings.threads,
        "type_k": kv_type,
        "type_v": kv_type,
        "flash_attn": True,
        "swa_full": False,
        "use_mmap": settings.whole,  # mapped, repacked weights would be there twice
        **_on_what(settings, lib),
        "verbose": True,
    }


def _on_what(settings: WorkerSettings, lib: Any) -> dict[str, Any]:  # noqa: ANN401
    """Name the devices; left alone, llama.cpp spreads over all that it sees.

    Without a split, a main device below 0 means none. Source: llama_prepare_model_devices in
    llama.cpp, src/llama.cpp.
    """
    layers = {"n_gpu_layers": sum(settings.split)}
    names = [device.name for device in gpus(lib)]
    if len(settings.devices) > 1:
        shares = dict(zip(settings.devices, settings.split, strict=True))
        split = [float(shares.get(name, 0)) for name in names]
        return {**layers, "split_mode": lib.LLAMA_SPLIT_MODE_LAYER, "tensor_split": split}
    main = names.index(settings.devices[0]) if settings.devices else -1
    return {**layers, "split_mode": lib.LLAMA_SPLIT_MODE_NONE, "main_gpu": main}
