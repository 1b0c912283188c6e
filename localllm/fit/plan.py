"""What a plan is: where a model goes, how much it takes, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from localllm.events import DeviceId


class Verdict(StrEnum):
    FITS = "fits"
    FITS_PARTLY = "fits_partly"
    TOO_BIG = "too_big"


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by use, over all devices, as llama.cpp's own load log groups them."""

    weights: int
    kv_cache: int
    compute: int
    output: int
    recurrent_state: int = 0
    projector: int = 0
    overhead: int = 0
    """What a device's runtime takes beside the buffers (a CUDA context); 0 on the CPU."""

    @property
    def total(self) -> int:
        return (
            self.weights
            + self.kv_cache
            + self.compute
            + self.output
            + self.recurrent_state
            + self.projector
            + self.overhead
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """How much of a model one device holds."""

    device: DeviceId
    layers: int
    """Layers computed there, the output layer counted as one, as llama.cpp counts them."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Budget:
    """One device as the planner sees it."""

    device: DeviceId
    name: str
    usable_bytes: int
    bandwidth: int | None
    """Bytes per second; None gives no speed prediction."""

    overhead_bytes: int = 0
    """Taken by the runtime as soon as a model is on the device."""

    is_host: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for; None leaves it to the planner."""

    context: int | None = None
    parallel: int | None = None
    micro_batch: int = 512


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to run one file, or the reason why there is none."""

    verdict: Verdict
    reason: str
    """One sentence with the numbers that decided."""

    context: int
    """Tokens that one request may use, prompt and answer together."""

    parallel: int
    """Slots, which share the context's cells (llama.cpp's unified cache)."""

    kv_type: str
    micro_batch: int
    layers: int
    """All layers of the model, the output layer counted as one."""

    placement: tuple[Placement, ...]
    memory: Memory
    host_cache_bytes: int
    """Host memory that the engine may fill with the prompts of earlier requests."""

    decode_tps: float | None
    """Predicted tokens per second of one stream; None where the bandwidth is unknown."""

    @property
    def need(self) -> Mapping[DeviceId, int]:
        """Bytes taken of each device."""
        return {p.device: p.size_bytes for p in self.placement}
