"""What the supervisor needs of the world, put together by the daemon."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localllm.config.settings import Prefix
from localllm.engine_client.client import EngineClient
from localllm.engine_client.interview import Interview
from localllm.engines.base import LaunchSpec, Serving
from localllm.events import DeviceId
from localllm.planning.planner import Planned
from localllm.planning.prompt_keeping import AS_IT_COMES
from localllm.supervisor.bus import EventBus
from localllm.supervisor.examinee import Examinee
from localllm.supervisor.lifecycle import RestartPolicy
from localllm.supervisor.runner import Farewell
from localllm.supervisor.watching import Measured

Held = Mapping[DeviceId, int]
Check = Callable[[Examinee, EngineClient], Awaitable[Sequence[str]]]
"""Says why it may not take over; nothing: it may."""


async def unchecked(_examinee: Examinee, _client: EngineClient) -> Sequence[str]:
    """Examine nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Tools:
    """Given to the fleet once; everything in it is shared by all instances."""

    bus: EventBus
    policy: RestartPolicy
    logs: Path
    connect: Callable[[LaunchSpec], EngineClient]
    launch: Callable[[Planned, Serving], LaunchSpec]
    """Called once per run: each run has an endpoint of its own."""

    record: Callable[[Planned, Measured], None]
    """Keeps what a start has measured; called in a thread."""

    examine: Callable[[Planned, Interview], Sequence[str]]
    """Says what is doubtful of a fresh instance's answers; called in a thread."""

    budgets: Callable[[Sequence[Planned], Held], Mapping[DeviceId, int]]
    """Asks the drivers what all instances together may take of each device now, where what is
    given is held by them; called in a thread."""

    cache_share: float = 0.85
    """Of an engine's cache, over which long prompts wait."""

    prefix_folder: Path | None = None
    """Where engines put what their slots hold, and find it again; None: they do not."""

    prefix: Prefix = AS_IT_COMES
    """What of prompts is to be kept at all."""

    check: Check = unchecked
    """Examines how good one is that is to take over, where its user wants that."""

    farewell: Farewell | None = None
    """Awaited, within the policy's time, before an engine that is idle and well is told to end:
    at a stop, an unload, an eviction, a switch, the daemon's end. None: it is told at once."""

    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    """Requests are numbered as they arrive."""
