"""What llama.cpp's own log says of a load: which buffers, how large, on which device.

Needs verbosity 4. The lines are the same in xllamacpp and in llama-server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from localllm.engines.base import Serving

_BUFFER = re.compile(
    r"(?P<device>\w+)\s+(?:DSV4 .+ )?"
    r"(?P<use>model|KV|RS|state|output|compute|LoRA) buffer size ="
    r"\s+(?P<mib>[\d.]+) MiB"
)
_USES = {"state": "RS", "LoRA": "model"}
"""DeepSeek V4's compressors keep a state beside their caches: of a fixed size, as an RS is.
Adapters are planned as tensors of the model."""

LOG_STEP_BYTES = (1 << 20) // 100
"""Sizes in the log have two decimals, of MiB."""

_PROCESSOR = ("CPU", "AMX")
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
_NO_DRAFT = re.compile(
    r"failed to initialize speculative decoding context: (?P<why>.+)"
    r"|(?P<unsupported>speculative decoding not supported by this context)"
)


@dataclass(frozen=True, slots=True)
class Buffer:
    device: str
    """In the engine's words: CPU, CPU_Mapped, Vulkan0, Vulkan_Host, MTL0_Mapped."""

    use: str
    """model, KV, RS, output or compute."""

    size_bytes: int
    """To `resolution_bytes`."""

    resolution_bytes: int = LOG_STEP_BYTES
    """How far the true size may be away."""

    @property
    def on_host(self) -> bool:
        return self.device.startswith(_PROCESSOR) or self.device.endswith("_Host")

    @property
    def where(self) -> str:
        """The device itself: Metal's weights are in MTL0_Mapped, its cache in MTL0_Private."""
        return self.device.partition("_")[0]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """All of one load. An engine that says nothing gives an empty report."""

    buffers: tuple[Buffer, ...] = ()
    offloaded: tuple[int, int] | None = None
    """Layers on devices and all layers; None where the build has no device to offload to."""

    draft_offloaded: tuple[int, int] | None = None
    """Likewise of a smaller model that guesses ahead, which is loaded after the one it serves."""

    no_draft: str | None = None
    """Why the engine could not use a draft, whether or not it was given one; None where it could."""

    @property
    def total_bytes(self) -> int:
        return sum(b.size_bytes for b in self.buffers)

    def layers_on_device(self) -> int:
        return 0 if self.offloaded is None else self.offloaded[0]


def parse_load_log(text: str) -> LoadReport:
    """Read the log of one run, from its launch on."""
    buffers = _without_earlier_tries(
        Buffer(m["device"], _USES.get(m["use"], m["use"]), round(float(m["mib"]) * (1 << 20)))
        for m in _BUFFER.finditer(text)
    )
    pairs = [(int(m[1]), int(m[2])) for m in _OFFLOADED.finditer(text)]
    offloaded, draft, *_ = *pairs, None, None
    failed = _NO_DRAFT.search(text)
    why = None if failed is None else failed["why"] or failed["unsupported"]
    return LoadReport(buffers, offloaded, draft, why)


def _without_earlier_tries(buffers: Iterable[Buffer]) -> tuple[Buffer, ...]:
    """Leave out compute buffers that were laid out anew, as adapters and samplers of heads need.

    A context says its output buffer first; so what comes before that is another context's.
    """
    kept: list[Buffer] = []
    begin = 0
    for buffer in buffers:
        if buffer.use == "output":
            begin = len(kept)
        if buffer.use == "compute":
            kept[begin:] = [
                b for b in kept[begin:] if (b.use, b.device) != ("compute", buffer.device)
            ]
        kept.append(buffer)
    return tuple(kept)


def misplaced(report: LoadReport, serving: Serving) -> str | None:
    """Say in which way the load is not what the plan asked for; None if it is.

    A model that was to be on a device is only there if the log says so: an engine that
    falls back to the processor answers all the same, and many times slower.
    """
    if not report.buffers and serving.devices:
        return "the engine's log shows no buffers, so where the model is cannot be told"
    if report.layers_on_device() != serving.layers_on_device:
        return (
            f"{serving.layers_on_device} of {serving.layers} layers were to be on "
            f"{_names(serving)}, the engine put {report.layers_on_device()} there"
        )
    if serving.drafting is not None and report.no_draft is not None:
        return f"the engine goes without the draft: {report.no_draft}"
    wrong = _misplaced_draft(report, serving)
    if wrong is not None:
        return wrong
    used = {b.where for b in report.buffers if b.use == "model" and not b.on_host}
    wanted = {d.name for d in serving.devices}
    if used != wanted:
        return f"the weights were to be on {_names(serving)}, the engine put them on {_list(used)}"
    return None


def _misplaced_draft(report: LoadReport, serving: Serving) -> str | None:
    drafting, found = serving.drafting, report.draft_offloaded
    if drafting is None or drafting.file is None:
        return None
    on_device = 0 if found is None else found[0]
    if on_device == drafting.layers:
        return None
    return f"{drafting.layers} of the draft's layers were to be on a device, {on_device} are there"


def _names(serving: Serving) -> str:
    return _list({d.name for d in serving.devices})


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "the processor"
