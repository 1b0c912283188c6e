"""`status`: the daemon, its models, and what each turned out to be beside its plan."""

from __future__ import annotations

from typing import Literal

import msgspec

from localllm.api.config_views import ConfigStateView
from localllm.api.recording_views import RecordingView
from localllm.api.views import ProbeView, PromptsView, View


class LayersView(View, frozen=True, kw_only=True):
    on_device: int
    total: int


class UsedMemoryView(View, frozen=True, kw_only=True):
    predicted: int
    """When it is loaded, without what comes with prompts: checkpoints of slots, earlier prompts."""

    measured: int | None
    """What the engine's own log adds up to."""

    resident: int | None
    """What the operating system says the process holds, mapped model file included."""


class PlacedView(View, frozen=True, kw_only=True):
    """One device's part of a model; bytes."""

    device: str
    name: str
    layers: int
    predicted: int
    measured: int | None


class SpeedView(View, frozen=True, kw_only=True):
    predicted_tps: float | None
    measured_tps: float | None
    prefill_tps: float | None


class RequestsView(View, frozen=True, kw_only=True):
    active: int
    waiting: int
    total: int
    remote: int = 0
    """That the remote answered in its place; not in `total`."""


class ErrorView(View, frozen=True, kw_only=True):
    reason: str
    fix: str | None = None
    """What cures it; null where its cause is not known."""

    log: list[str]
    """The engine's last lines."""


State = Literal[
    "stopped",
    "downloading",
    "starting",
    "warming",
    "ready",
    "draining",
    "stopping",
    "backoff",
    "failed",
]


class InstanceView(View, frozen=True, kw_only=True):
    id: str
    """What clients send as `model`."""

    instance: str
    state: State
    wanted: bool
    """It serves, or will without being asked again; false for one that was stopped or gave up."""

    why: str
    """What led to this state, in a few words."""

    file: str | None = None
    """The path of its first file, as the store's list has it; the folder, for safetensors."""

    engine: str
    engine_version: str | None = None
    device: str
    quant: str | None
    context: int
    parallel: int
    current: bool = False
    """What requests mean that name no model, or `localllm`."""

    pinned: bool = False
    lane: Literal["main", "long"] = "main"
    """long: for prompts that the other instance of its model is too small for."""

    unload_in: float | None = None
    """Seconds until it is unloaded if nobody uses it; null: never, or it is at work."""

    gap: float | None = None
    """How long no model was ready when it took over from another one; 0 where that served until
    then, null where it took over from none."""

    held: str | None = None
    """Why requests wait for it though it is ready."""

    pid: int | None
    layers: LayersView
    memory: UsedMemoryView
    placement: list[PlacedView] = msgspec.field(default_factory=list[PlacedView])
    warnings: list[str] = msgspec.field(default_factory=list[str])
    """Where it turned out otherwise than planned."""

    engine_args: list[str] = msgspec.field(default_factory=list[str])
    """Flags of the user's own, which the plan does not know."""

    speed: SpeedView
    requests: RequestsView
    prompts: PromptsView | None = None
    kv_used: float | None
    """Share of the cache's cells in use; null where nobody has asked the engine."""

    error: ErrorView | None


class DaemonView(View, frozen=True, kw_only=True):
    version: str
    pid: int
    uptime: float
    endpoint: str
    log: str


class SavedView(View, frozen=True, kw_only=True):
    """What prompts that were kept warm have spared everybody who asked today."""

    seconds: float | None
    """That reading them again would have taken at least; null where nobody knows how fast that is."""

    tokens: int
    day: str
    """In UTC, as in 2026-11-29: the ledger's days."""


class StatusView(View, frozen=True, kw_only=True):
    daemon: DaemonView
    hardware: ProbeView
    warnings: list[str] = msgspec.field(default_factory=list[str])
    """What is wrong with the machine now: a device that is lost, heat, memory that runs out."""

    config: ConfigStateView | None = None
    """How the settings stand."""

    saved: SavedView | None = None
    recording: RecordingView | None = None
    """Of request shapes; null: none is under way."""

    models: list[InstanceView]
