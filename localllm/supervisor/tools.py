"""What the supervisor needs of the world, put together by the daemon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localllm.engine_client.client import EngineClient
from localllm.engines.base import LaunchSpec, Serving
from localllm.planning.planner import Planned
from localllm.supervisor.bus import EventBus
from localllm.supervisor.lifecycle import RestartPolicy
from localllm.supervisor.watching import Measured


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
