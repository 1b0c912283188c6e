"""One instance as the fleet keeps it: its plan, its runner, and who is using it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from localllm.engine_client.client import EngineClient
from localllm.engines.base import LaunchSpec, Serving
from localllm.events import InstanceId, ModelState
from localllm.planning.planner import Planned
from localllm.supervisor.runner import Runner
from localllm.supervisor.scheduler import Resident

_TAIL_BYTES = 8192


@dataclass(slots=True)
class Hosted:
    """Mutable, and owned by the fleet alone."""

    planned: Planned
    serving: Serving
    runner: Runner
    log: Path
    used_at: float
    asked: int = 0
    """Grows with every ask for the model: the latest is what the user wants."""

    in_flight: int = 0
    waiting: int = 0
    total: int = 0
    remote: int = 0
    """Requests for it that the remote answered in its place."""

    refused: str | None = None
    """Why the scheduler would not start it; None if it did or has not been asked."""

    granted: bool = False
    """May start, but its runner has not got to it yet: holds its memory all the same."""

    leaving: bool = False
    """Asked to stop, but its runner has not got to it yet: takes no more requests."""

    retired: bool = False
    """Stopped for good: forgotten once its process is gone."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Ends the runner."""

    changed: anyio.Event = field(default_factory=anyio.Event)
    """Set, and replaced, at every change of state."""

    _client: tuple[int, EngineClient] | None = None

    @property
    def id(self) -> InstanceId:
        return self.runner.record.instance

    @property
    def state(self) -> ModelState:
        return self.runner.record.state

    def as_resident(self) -> Resident:
        state = ModelState.STARTING if self.granted else self.state
        if self.leaving and state is ModelState.READY:
            state = ModelState.DRAINING
        return Resident(self.runner.instance, state, self.in_flight, self.used_at)

    async def host(self) -> None:
        with self.scope:
            await self.runner.run()

    def takes_requests(self) -> bool:
        ready = self.state is ModelState.READY and self.runner.spec is not None
        return ready and not self.leaving and not self.retired

    def announce(self) -> None:
        """Wake everybody who waits for this instance to change."""
        self.changed.set()
        self.changed = anyio.Event()

    def client(self, connect: Callable[[LaunchSpec], EngineClient]) -> EngineClient | None:
        """The client for the present run; None when there is no process to talk to."""
        spec, run = self.runner.spec, self.runner.record.run
        if spec is None:
            return None
        if self._client is None or self._client[0] != run:
            self._client = (run, connect(spec))
        return self._client[1]

    def take_old_client(self) -> EngineClient | None:
        """Give up the client of a run that is over, for the caller to close."""
        if self._client is None or (
            self.runner.spec is not None and self._client[0] == self.runner.record.run
        ):
            return None
        _, client = self._client
        self._client = None
        return client

    def log_tail(self, lines: int) -> list[str]:
        return tail(self.log, lines)


def tail(file: Path, lines: int) -> list[str]:
    """Read the last lines of a log; none if it does not exist."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(max(0, size - max(_TAIL_BYTES, lines * 400)))
            return opened.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []
