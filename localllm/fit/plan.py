"""What a plan is: where a model goes, how much it takes, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from localllm.events import DeviceId
from localllm.fit.placing import Arrangement
from localllm.fit.speed import Speed
from localllm.formats.header import Header, Tensor


class Verdict(StrEnum):
    FITS = "fits"
    FITS_PARTLY = "fits_partly"
    """A part of the model stays on the host, beside the devices that could not take it."""

    TOO_BIG = "too_big"


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by use, on one device or over all, as llama.cpp's own load log groups them."""

    weights: int
    kv_cache: int
    compute: int
    output: int
    recurrent_state: int = 0
    projector: int = 0
    draft: int = 0
    """Of what guesses tokens ahead: weights, cache and buffers; and the logits of its guesses."""

    overhead: int = 0
    """What a device's runtime takes beside the buffers (a CUDA context); 0 on the CPU."""

    checkpoints: int = 0
    """Earlier states of slots, on the host, or in the share of a device that shares its memory. Taken
    as prompts come, so no load log speaks of them."""

    @property
    def at_load(self) -> int:
        """What is taken as soon as the model is loaded; checkpoints come with prompts."""
        return self.total - self.checkpoints

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))

    def __add__(self, other: Memory) -> Memory:
        return Memory(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """How much of a model one device holds."""

    device: DeviceId
    layers: int
    """Layers computed there, the output layer counted as one, as llama.cpp counts them."""

    memory: Memory

    @property
    def size_bytes(self) -> int:
        return self.memory.total


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

    half_precision_flops: float | None = None
    is_host: bool = False
    shares_host: bool = False
    """It and the host draw on one memory, of which this is the larger share."""

    @property
    def kind(self) -> str:
        """How it is driven: cuda, rocm, metal, vulkan or cpu."""
        return self.device.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Draft:
    """What guesses tokens ahead, which the model then checks all at once."""

    tokens: int
    """At a time, for each slot."""

    header: Header | None = None
    """Of a smaller model; None: blocks that the model itself has for it (MTP)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for; None leaves it to the planner."""

    context: int | None = None
    parallel: int | None = None
    kv_type: str | None = None
    micro_batch: int | None = None
    goal: int | None = None
    """Tokens of context that the use needs: cache types and slots are given up for it."""

    exact: bool = True
    """Whether compute buffers are replayed; else they are bounded, for a first look at many."""

    projector_bytes: int = 0
    """Weights of the projector that goes with the model; 0: images are not wanted."""

    draft: Draft | None = None
    adapters: tuple[Tensor, ...] = ()
    """Of LoRA adapters, named by `adapter_tensor`: each is where the tensor is that it changes."""

    embeds: bool = False
    """Whether texts are to become vectors, by a model that could also write."""

    whole_texts: bool = False
    """Whether a text must be read in one micro batch, as it must where all its tokens are pooled."""


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

    arrangement: Arrangement
    """Which of the placement's devices has which layers; the host comes last there."""

    placement: tuple[Placement, ...]
    host_cache_bytes: int
    """Memory that the engine may fill with the prompts of earlier requests."""

    speed: Speed | None
    """Of one stream, without what a draft saves; None where a bandwidth is unknown."""

    rollback: int = 0
    """Earlier states kept for each slot, to take a draft's guesses back."""

    checkpoint_bytes: int = 0
    """Of one checkpoint, where the model needs them to go back in a prompt; 0: it does not."""

    checkpoints: int = 0
    """How many are kept for each slot; 0 also where memory for them is lacking."""

    prompts_on: DeviceId | None = None
    """Where earlier prompts are; None: on the host."""

    @property
    def memory(self) -> Memory:
        """Over all devices."""
        total = Memory(0, 0, 0, 0)
        for placed in self.placement:
            total += placed.memory
        return total

    @property
    def experts_on_host(self) -> int:
        """Of so many layers from the first the experts stay on the host."""
        return self.arrangement.experts_on_host

    @property
    def need(self) -> Mapping[DeviceId, int]:
        """Bytes taken of each device."""
        return {p.device: p.size_bytes for p in self.placement}

    @property
    def decode_tps(self) -> float | None:
        return None if self.speed is None else self.speed.decode_tps
