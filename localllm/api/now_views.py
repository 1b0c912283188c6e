"""How all is at this moment, for screens that look twice a second. Bytes, seconds, Celsius, watts.

Only what the daemon knows already: the call asks no driver, no engine and no disk. While somebody
goes on calling, the drivers are asked beside it, once a second.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from localllm.api.config_views import ConfigStateView
from localllm.api.pull_views import PullView
from localllm.api.recording_views import RecordingView
from localllm.api.request_views import RequestsListView
from localllm.api.status_views import DaemonView, InstanceView, SavedView
from localllm.api.views import View


class NowQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /api/v1/now`."""

    recent: Annotated[int, msgspec.Meta(ge=0, le=200)] = 50
    """Requests that are over, at most so many."""


class HeldView(View, frozen=True, kw_only=True):
    """What one instance has of one device: as measured in all, its parts as planned."""

    instance: str
    model: str
    weights: int
    cache: int
    """KV cache, recurrent state, and checkpoints of both."""

    other: int
    """Computing, output, the runtime's own, a projector, a draft."""


class DeviceNowView(View, frozen=True, kw_only=True):
    """One device, the processor among them; null where nobody can tell."""

    id: str
    kind: str
    name: str
    unified: bool
    memory_total: int | None
    memory_free: int | None
    reserve: int | None
    """That plans leave to others."""

    held: list[HeldView]
    others: int | None
    """Held by other programs, and by our engines for earlier prompts, which fill up over time."""

    utilization: float | None
    """From 0 to 1."""

    power: float | None
    power_limit: float | None
    temperature: float | None
    throttled: str | None
    """Why it is slowed down."""

    lost: str | None
    """Why it does not answer any more."""

    wired_limit: int | None
    """On Apple's chips: what may be wired at most."""

    pressure: Literal["none", "warn", "critical"] | None
    """How short of memory the host is; of the processor and of unified memory alone."""

    energy: float | None = None
    """Joules that it is known to have used since the daemon was started; it only grows, from look
    to look. Null where the device does not tell."""

    energy_at: float | None = None
    """When that was read, in Unix seconds."""


class ModelNowView(View, frozen=True, kw_only=True):
    view: InstanceView
    generated: int
    """Tokens since the daemon's start: what grows between two looks is the speed."""

    read: int
    """Tokens of prompts that were not in the cache, likewise."""

    first_token: float | None
    """Seconds, of its newest request that has one."""

    cache_share: float
    """Of the KV cache; over it, long prompts wait."""


class NowView(View, frozen=True, kw_only=True):
    """What `GET /api/v1/now` answers."""

    at: float
    """Unix seconds."""

    daemon: DaemonView
    host: str
    """Processor and system, in a few words."""

    devices: list[DeviceNowView]
    models: list[ModelNowView]
    requests: RequestsListView
    pulls: list[PullView]
    warnings: list[str]
    """What is wrong with the machine now."""

    config: ConfigStateView | None = None
    """How the settings stand."""

    saved: SavedView
    recording: RecordingView | None = None
    """Of request shapes; null: none is under way."""
