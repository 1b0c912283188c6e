"""What llama.cpp's own log says of a load: which buffers, how large, on which device.

Needs verbosity 4. The lines are the same in xllamacpp and in llama-server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from localllm.engines.base import Serving

_BUFFER = re.compile(
    r"(?P<device>\w+)\s+(?:DSV4 .+ )?(?P<use>model|KV|RS|state|output|compute) buffer size ="
    r"\s+(?P<mib>[\d.]+) MiB"
)
_USES = {"state": "RS"}
"""DeepSeek V4's compressors keep a state beside their caches: of a fixed size, as an RS is."""

LOG_STEP_BYTES = (1 << 20) // 100
"""Sizes in the log have two decimals, of MiB."""

_PROCESSOR = ("CPU", "AMX")
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")


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

    @property
    def total_bytes(self) -> int:
        return sum(b.size_bytes for b in self.buffers)

    def layers_on_device(self) -> int:
        return 0 if self.offloaded is None else self.offloaded[0]


def parse_load_log(text: str) -> LoadReport:
    """Read the log of one run, from its launch on."""
    buffers = tuple(
        Buffer(m["device"], _USES.get(m["use"], m["use"]), round(float(m["mib"]) * (1 << 20)))
        for m in _BUFFER.finditer(text)
    )
    offloaded = _OFFLOADED.search(text)
    pair = None if offloaded is None else (int(offloaded.group(1)), int(offloaded.group(2)))
    return LoadReport(buffers, pair)


def misplaced(report: LoadReport, serving: Serving) -> str | None:
    """Say in which way the load is not what the plan asked for; None if it is.

    A model that was to be on a device is only there if the log says so: an engine that
    falls back to the processor answers all the same, and many times slower.
    """
    if not report.buffers:
        return "the engine's log shows no buffers, so where the model is cannot be told"
    if report.layers_on_device() != serving.layers_on_device:
        return (
            f"{serving.layers_on_device} of {serving.layers} layers were to be on "
            f"{_names(serving)}, the engine put {report.layers_on_device()} there"
        )
    used = {b.where for b in report.buffers if b.use == "model" and not b.on_host}
    wanted = {d.name for d in serving.devices}
    if used != wanted:
        return f"the weights were to be on {_names(serving)}, the engine put them on {_list(used)}"
    return None


def _names(serving: Serving) -> str:
    return _list({d.name for d in serving.devices})


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "the processor"
