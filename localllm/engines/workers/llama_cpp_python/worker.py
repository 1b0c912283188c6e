"""Runs in the child: a model in llama-cpp-python behind llama.cpp's HTTP, until it is killed.

Nothing is answered before the model is loaded. Its log is this process's standard error.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from localllm.engines.workers.http import Listening

_GPUS = (1, 2)
"""GPU and IGPU of `ggml_backend_dev_type`; 0 is the processor, 3 a library such as BLAS."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What the daemon asks for, as the JSON object on the command line."""

    model: str
    alias: str
    context: int
    kv_type: str
    micro_batch: int
    threads: int
    whole: bool
    """The devices have everything but what is looked up on the host."""

    devices: list[str]
    """To compute on, in llama.cpp's words; none: the processor."""

    split: list[int]
    """Layers for each of them."""

    sampling: dict[str, float]
    """Defaults of requests, by OpenAI's names."""

    listening: Listening
    prefix_folder: str | None = None
    """Where what is held of a prompt is saved, and found again; None: nowhere."""


@dataclass(frozen=True, slots=True)
class SeenDevice:
    """A device in the words of llama.cpp."""

    name: str
    description: str
    memory_total: int
    memory_free: int


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
    os.umask(0o077)  # the socket and what is saved are the user's alone
    from localllm.engines.workers.llama_cpp_python.server import serve  # noqa: PLC0415  # costs a second

    serve(settings)


def binding() -> Any:  # noqa: ANN401
    """Import the binding, which is not there for who checks our types."""
    return importlib.import_module("llama_cpp")


def gpus(llama_cpp: Any) -> Iterator[SeenDevice]:  # noqa: ANN401
    """List what has memory of its own, in llama.cpp's order.

    The binding has no words for it, but its library holds all of ggml's.
    """
    ggml = llama_cpp.llama_cpp._lib
    for name in ("get", "name", "description"):
        getattr(ggml, f"ggml_backend_dev_{name}").restype = ctypes.c_char_p
    ggml.ggml_backend_dev_get.restype = ctypes.c_void_p
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    for number in range(ggml.ggml_backend_dev_count()):
        device = ctypes.c_void_p(ggml.ggml_backend_dev_get(ctypes.c_size_t(number)))
        if ggml.ggml_backend_dev_type(device) in _GPUS:
            yield _described(ggml, device)


def _described(ggml: Any, device: ctypes.c_void_p) -> SeenDevice:  # noqa: ANN401
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    ggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
    name, text = ggml.ggml_backend_dev_name(device), ggml.ggml_backend_dev_description(device)
    return SeenDevice(name.decode(), text.decode(errors="replace"), total.value, free.value)


def _print_devices() -> None:
    llama_cpp = binding()
    devices = [
        {name: getattr(device, name) for name in SeenDevice.__slots__} for device in gpus(llama_cpp)
    ]
    print(json.dumps({"version": llama_cpp.__version__, "devices": devices}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
