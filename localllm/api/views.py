"""The JSON documents that the daemon and the CLI give out, field by field as the contract has them.

Bytes are integers, times are seconds, speeds are tokens per second; an unknown value is null.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from localllm.units import DURATION


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all documents."""


class HostView(View, frozen=True, kw_only=True):
    os: str
    os_version: str | None
    arch: str
    cpu: str | None
    cores: int
    memory_total: int
    memory_available: int
    wsl: bool
    sources: dict[str, str]


class HolderView(View, frozen=True, kw_only=True):
    pid: int
    name: str | None
    bytes: int | None


class DeviceView(View, frozen=True, kw_only=True):
    id: str
    kind: str
    name: str
    memory_total: int | None
    memory_free: int | None
    memory_usable: int | None
    unified: bool
    bandwidth: int | None
    half_precision_flops: float | None
    driver: str | None
    cuda_version: str | None
    compute_capability: str | None
    uuid: str | None
    pci_bus: str | None
    power_limit_w: float | None
    held_by_others: list[HolderView] | None
    source: str
    sources: dict[str, str]


class ProbeView(View, frozen=True, kw_only=True):
    host: HostView
    devices: list[DeviceView]
    warnings: list[str]


class ModelView(View, frozen=True, kw_only=True):
    id: str
    name: str | None
    architecture: str
    parameters: int
    context_trained: int | None


class SourceView(View, frozen=True, kw_only=True):
    repo: str | None
    """None for a file that came from no repository."""

    files: list[str]
    size: int | None
    """Bytes; null where nobody tells."""


class MemoryView(View, frozen=True, kw_only=True):
    weights: int
    kv_cache: int
    recurrent_state: int
    compute: int
    output: int
    projector: int
    draft: int
    """Of what guesses tokens ahead: weights, cache and buffers."""

    overhead: int
    checkpoints: int
    """Of slots: what windows and states held at earlier places of a prompt. On the host, or where a
    device shares its memory, in the device's share."""

    total: int
    host_cache: int
    """Beside the total: memory that earlier prompts may take; on the host, with mlx on the device."""


class PlacementView(View, frozen=True, kw_only=True):
    device: str
    layers: int
    bytes: int
    memory: MemoryView


class RangeView(View, frozen=True, kw_only=True):
    low: float
    high: float


class FirstTokenView(View, frozen=True, kw_only=True):
    """Seconds to the first token of an answer to a prompt of so many tokens."""

    prompt_tokens: int
    cold: float | None
    cached: float | None
    """The same prompt again, all but its last tokens in the cache."""


class PredictedSpeedView(View, frozen=True, kw_only=True):
    decode_tps: float | None = None
    """One stream, at an empty cache."""

    decode_tps_full: float | None = None
    """The same at the end of the context."""

    prefill_tps: float | None = None
    decode_range: RangeView | None = None
    """Where a measurement is expected; null once there is one."""

    prefill_range: RangeView | None = None
    first_token: FirstTokenView | None = None
    source: Literal["measured", "predicted"] = msgspec.field(name="from", default="predicted")


class ExplainedView(View, frozen=True, kw_only=True):
    """One number of a plan and how it comes about."""

    device: str
    part: str
    bytes: int
    formula: str


class PromptsView(View, frozen=True, kw_only=True):
    """How a prompt is there again after its engine was ended."""

    kept: Literal["saved", "replayed", "not"]
    """saved: what the engine has read is on disk; replayed: its text is, and is read again in idle
    time; not: it is in the engine's memory alone."""

    why: str | None
    """Why it is not saved; null where it is."""


class CandidateView(View, frozen=True, kw_only=True):
    model: str
    quant: str | None
    format: Literal["gguf", "mlx", "safetensors"]
    engine: str | None
    source: SourceView
    context: int | None
    parallel: int | None
    kv_type: str | None
    micro_batch: int | None
    experts_on_host: int
    """Of so many layers from the first the experts stay on the host."""

    placement: list[PlacementView]
    memory: MemoryView | None
    """Null where nobody tells enough of the model; `reason` says what is missing."""

    memory_from: Literal["formula", "engine", "measured"]
    header: Literal["file", "hub", "scaled", "catalog"]
    """Who told what the model is made of; `scaled`: another quantization's header."""

    on_disk: bool
    prompts: PromptsView | None = None
    """Null where no engine can run it, it has no plan, or another machine is meant."""

    speed: PredictedSpeedView
    quality: float | None
    """Mean KL divergence from the unquantized model; null where nobody measured it."""

    quality_source: str | None
    verdict: Literal["fits", "fits_partly", "too_big"] | None
    reason: str
    lacks: str | None
    """What the chosen one has over it; null for the chosen one."""

    explanation: list[ExplainedView]
    """Empty unless it was asked for."""


class PlanView(View, frozen=True, kw_only=True):
    hardware: ProbeView
    model: ModelView | None
    use: str
    choice: int | None
    candidates: list[CandidateView]
    why: str | None
    """Why the choice is the choice, in one sentence."""

    advice: str | None
    """What would be needed where nothing that fits is of use; null where something is."""


class ServeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/switch` and `…/load`: what to serve, and how; null leaves it to the planner."""

    model: str | None = None
    context: Annotated[int, msgspec.Meta(ge=1)] | None = None
    parallel: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    engine: str | None = None
    quant: str | None = None
    kv_type: Literal["f16", "q8_0", "q4_0"] | None = None
    use: Literal["chat", "code", "embed", "vision"] | None = None
    profile: str | None = None
    """A profile of the user's own; what is said beside it goes before what it says."""

    keep_alive: Annotated[str, msgspec.Meta(pattern=DURATION)] | None = None
    """How long it stays in memory while nobody uses it, as in 15m; null: for ever."""

    allow_cpu: bool = False


class PlanRequest(ServeRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /api/v1/plan`."""

    hardware: str | None = None
    """A machine that is not this one, as in rtx5090; null: this one."""

    explain: bool = False
    offline: bool = False
    """Ask no hub."""


class ServeReply(View, frozen=True, kw_only=True):
    """Where the start that was asked for can be watched."""

    id: str
    instance: str
    already: bool
    """True if it was served, or on its way, under the same plan."""

    stand_in: bool
    """True for the embedded model, which nobody named."""

    reason: str


class PinReply(View, frozen=True, kw_only=True):
    id: str
    pinned: bool


class StopReply(View, frozen=True, kw_only=True):
    stopped: list[str]


class ShutdownRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/shutdown`."""

    forget: bool = True
    """False: the next daemon serves again what this one did."""


class ShutdownReply(View, frozen=True, kw_only=True):
    pid: int
    """Of the daemon, which ends by itself."""


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /api/v1/events`."""

    follow: bool = False
    """Whether to go on with what happens."""


class LogsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /api/v1/models/{id}/logs`."""

    lines: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200
    """The last so many."""

    follow: bool = False
    """Whether to go on with what comes after."""
