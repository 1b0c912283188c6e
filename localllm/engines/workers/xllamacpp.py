"""Runs in the child: llama.cpp's server out of the `xllamacpp` wheel, until it is killed.

Its log is this process's standard output. It is ended by a signal; llama.cpp's threads
serve while the main thread waits for one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from typing import Any

KEY_VARIABLE = "LOCALLLM_ENGINE_KEY"
_SHOWS_BUFFERS = 4
"""llama.cpp's verbosity that prints sizes and placement, and no prompt."""


@dataclass(frozen=True, slots=True)
class DraftSettings:
    """What guesses tokens ahead."""

    file: str | None
    """None: blocks of the model's own."""

    tokens: int
    kv_type: str
    device: str | None
    """None: where the model is."""

    layers: int


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What the daemon asks for, as the JSON object on the command line."""

    model: str
    alias: str
    context: int
    parallel: int
    kv_type: str
    micro_batch: int
    threads: int
    host_cache_mib: int
    checkpoints: int
    """Of each slot."""

    whole: bool
    """The devices have everything but what is looked up on the host."""

    devices: list[str]
    """To compute on, in llama.cpp's words; none: the processor."""

    split: list[int]
    """Layers for each of them."""

    experts_on_host: int
    projector: str | None
    batch: int
    task: str
    """write, embed or rerank."""

    pooling: str | None
    draft: DraftSettings | None
    adapters: list[tuple[str, float]]
    """Files, and how much each counts."""

    sampling: dict[str, float]
    """Defaults of requests, by llama.cpp's names."""

    socket: str | None
    port: int | None
    prefix_folder: str | None = None
    pins_slots: bool = False
    """Gets what slots hold, when it is asked for."""


def main(argument: str) -> None:
    """Serve what the JSON object asks for; `--devices` prints what this build can use."""
    if argument == "--devices":
        _print_devices()
        return
    settings = parse_settings(argument)
    os.umask(0o077)  # the socket and what slots hold are the user's alone
    server = _serve(settings)
    signal.pause()
    del server


def parse_settings(argument: str) -> WorkerSettings:
    """Read the JSON object of the command line."""
    told = json.loads(argument)
    draft = told.pop("draft")
    return WorkerSettings(**told, draft=None if draft is None else DraftSettings(**draft))


def _serve(settings: WorkerSettings) -> object:
    import xllamacpp  # type: ignore[import-untyped]  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    _say_where(params, settings)
    _say_how_much(params, settings, xllamacpp)
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    _say_on_what(params, settings, xllamacpp)
    _say_extras(params, settings, xllamacpp)
    params.ui = False
    params.endpoint_metrics = params.endpoint_slots = True
    params.verbosity = _SHOWS_BUFFERS
    return xllamacpp.Server(params)


def _say_where(params: Any, settings: WorkerSettings) -> None:  # noqa: ANN401
    params.model.path = settings.model
    for name, value in settings.sampling.items():
        setattr(params.sampling, name, value)
    if settings.projector is not None:
        params.mmproj.path = settings.projector
    params.model_alias = {settings.alias}
    key = os.environ.pop(KEY_VARIABLE, None)
    params.api_keys = [] if key is None else [key]
    params.hostnames = [settings.socket or "127.0.0.1"]
    params.port = settings.port or 0


def _say_on_what(params: Any, settings: WorkerSettings, xllamacpp: Any) -> None:  # noqa: ANN401
    """Name the devices; left alone, llama.cpp spreads over all that it sees.

    Without a split, a main device below 0 means none: then no buffer goes to a card, not
    even for computing. Source: llama_prepare_model_devices in llama.cpp, src/llama.cpp.
    """
    names = [d["name"] for d in _gpus(xllamacpp)]
    modes = xllamacpp.llama_split_mode
    if len(settings.devices) > 1:
        shares = dict(zip(settings.devices, settings.split, strict=True))
        params.split_mode = modes.LLAMA_SPLIT_MODE_LAYER
        params.tensor_split = [float(shares.get(name, 0)) for name in names]
    else:
        params.split_mode = modes.LLAMA_SPLIT_MODE_NONE
        params.main_gpu = names.index(settings.devices[0]) if settings.devices else -1
    params.n_gpu_layers = sum(settings.split)
    if settings.experts_on_host:
        params.tensor_buft_overrides = ",".join(
            rf"blk\.{i}\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU"
            for i in range(settings.experts_on_host)
        )


def _say_how_much(params: Any, settings: WorkerSettings, xllamacpp: Any) -> None:  # noqa: ANN401
    """Set all that takes memory: what is left to the engine breaks the plan."""
    params.n_ctx = settings.context
    params.n_parallel = settings.parallel
    params.kv_unified = True
    params.n_batch, params.n_ubatch = settings.batch, settings.micro_batch
    params.cache_type_k = params.cache_type_v = _kv_type(settings.kv_type, xllamacpp)
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    params.fit_params = False
    params.cache_ram_mib = settings.host_cache_mib
    params.n_ctx_checkpoints = settings.checkpoints
    if not settings.whole:  # mapped, repacked weights would be there twice
        params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE


def _kv_type(name: str, xllamacpp: Any) -> Any:  # noqa: ANN401
    return getattr(xllamacpp.ggml_type, f"GGML_TYPE_{name.upper()}")


def _say_extras(params: Any, settings: WorkerSettings, xllamacpp: Any) -> None:  # noqa: ANN401
    """Say what few models are served with; an estimate, which is of plain serving, leaves it out."""
    params.embedding = settings.task != "write"
    pooling = "rank" if settings.task == "rerank" else settings.pooling
    if pooling is not None:
        kinds = xllamacpp.llama_pooling_type
        params.pooling_type = getattr(kinds, f"LLAMA_POOLING_TYPE_{pooling.upper()}")
    if settings.prefix_folder is not None:  # file names are put right behind it
        params.slot_save_path = os.path.join(settings.prefix_folder, "")  # noqa: PTH118
    if settings.pins_slots:
        params.cache_idle_slots = False  # else each new request empties all slots but its own
    params.lora_adapters = [_adapter(*adapter, xllamacpp) for adapter in settings.adapters]
    if settings.draft is not None:
        _say_draft(params.speculative, settings.draft, xllamacpp)


def _adapter(file: str, scale: float, xllamacpp: Any) -> object:  # noqa: ANN401
    adapter = xllamacpp.CommonAdapterLoraInfo()
    adapter.path, adapter.scale = file, scale
    return adapter


def _say_draft(speculative: Any, draft: DraftSettings, xllamacpp: Any) -> None:  # noqa: ANN401
    kinds = xllamacpp.common_speculative_type
    own = draft.file is None
    speculative.types = [
        kinds.COMMON_SPECULATIVE_TYPE_DRAFT_MTP
        if own
        else kinds.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE
    ]
    params = speculative.draft
    params.n_max = draft.tokens
    params.cache_type_k = params.cache_type_v = _kv_type(draft.kv_type, xllamacpp)
    if draft.file is not None:
        params.mparams.path, params.n_gpu_layers = draft.file, draft.layers
    if draft.device is not None:
        params.devices = draft.device


def _print_devices() -> None:
    import xllamacpp  # noqa: PLC0415

    told = ("name", "description", "memory_total", "memory_free")
    devices = [{key: device[key] for key in told} for device in _gpus(xllamacpp)]
    print(json.dumps({"version": xllamacpp.__version__, "devices": devices}))  # noqa: T201


def _gpus(xllamacpp: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return what has memory of its own; a BLAS library is listed too, and is none."""
    kinds = xllamacpp.ggml_backend_dev_type
    gpus = (kinds.GGML_BACKEND_DEVICE_TYPE_GPU, kinds.GGML_BACKEND_DEVICE_TYPE_IGPU)
    return [device for device in xllamacpp.get_device_info() if device["type"] in gpus]


if __name__ == "__main__":
    main(sys.argv[1])
