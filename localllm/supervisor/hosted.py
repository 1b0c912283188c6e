"""One instance as the fleet keeps it: its plan, its runner, and who is using it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from localllm.engine_client.client import EngineClient
from localllm.engines.base import LaunchSpec, Serving
from localllm.events import DeviceId, InstanceId, ModelId, ModelState
from localllm.planning.planner import Planned
from localllm.planning.proof import placed
from localllm.supervisor.flow import Flow
from localllm.supervisor.lobby import Lobby, Ticket
from localllm.supervisor.routing import Lane
from localllm.supervisor.runner import Runner
from localllm.supervisor.scheduler import Resident

_TAIL_BYTES = 8192


@dataclass(slots=True)
class Terms:
    """How long an instance stays, and in whose place it comes."""

    keep_s: float = math.inf
    """Idle for so long, it is unloaded; the next request brings it back."""

    lane: Lane = Lane.MAIN
    replaces_current: bool = False
    """What is served now is stopped once this is ready, and makes room for it if it has to."""

    check: str = "off"
    """How it is examined before it takes over from another: off, quick or full."""

    is_asked_for: bool = True
    """By a person: it becomes what requests mean that name no model."""

    is_guest: bool = False
    """Here to be examined: it takes nobody's memory, and no request means it that does not name it."""


@dataclass(slots=True)
class Hosted:
    """Mutable, and owned by the fleet alone."""

    planned: Planned
    serving: Serving
    runner: Runner
    log: Path
    used_at: float
    lobby: Lobby
    terms: Terms = field(default_factory=Terms)
    pinned: bool = False
    """Neither evicted nor unloaded."""

    asked: int = 0
    """Grows with every ask for the model: the latest is what the user wants."""

    replaces: frozenset[ModelId] = frozenset()
    """Models, its own among them, from which it takes over, or has."""

    total: int = 0
    remote: int = 0
    """Requests for it that the remote answered in its place."""

    flow: Flow = field(default_factory=Flow)
    told_tokens: int | None = None
    """Cells of the cache in use, as the engine last told; None where it does not."""

    refused: str | None = None
    """Why the scheduler would not start it; None if it did or has not been asked."""

    reading: bool = False
    """Its file is being read into memory, while another one serves that has to make room."""

    granted_run: int = 0
    """The run that may start; until its runner has got to it, it holds its memory all the same."""

    leaving: bool = False
    """Asked to stop, but its runner has not got to it yet: takes no more requests."""

    retired: bool = False
    """Stopped for good: forgotten once its process is gone."""

    dismissed: bool = False
    """By a person, so that nothing that waits for it is to bring it back."""

    gap_s: float | None = None
    """How long no model was ready when it took over; 0 where the other one served until then,
    None for one that took over from nobody."""

    shrinks: bool = False
    """Memory ran out for it, and something less is about to take its place: whoever waits, stays."""

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

    @property
    def granted(self) -> bool:
        """Whether it may start, and its runner has not got to it yet."""
        return self.runner.record.run < self.granted_run

    @property
    def in_flight(self) -> int:
        return self.lobby.running

    @property
    def waiting(self) -> int:
        return self.lobby.waiting

    @property
    def need(self) -> Mapping[DeviceId, int]:
        """Bytes it takes of each device: as planned, and corrected by what a load has measured."""
        return self._corrected(self.planned.need)

    @property
    def taken(self) -> Mapping[DeviceId, int]:
        """The same without the cache of earlier prompts, which fills up over time."""
        return self._corrected(self.planned.plan.need)

    def _corrected(self, planned: Mapping[DeviceId, int]) -> Mapping[DeviceId, int]:
        need, measured = dict(planned), self.runner.measured
        if measured is not None:
            for part in placed(self.planned, self.serving, measured.load):
                if part.measured_bytes is not None:
                    more = part.measured_bytes - part.predicted_bytes
                    need[part.device] = max(0, need.get(part.device, 0) + more)
        return need

    def as_resident(self) -> Resident:
        state = ModelState.STARTING if self.granted else self.state
        if self.leaving and state is ModelState.READY:
            state = ModelState.DRAINING
        facts = replace(self.runner.instance, need=self.need)
        waited_for = state in {ModelState.READY, ModelState.BACKOFF}
        busy = self.in_flight + (self.waiting if waited_for else 0)
        return Resident(facts, state, busy, self.used_at, self.pinned)

    async def host(self) -> None:
        with self.scope:
            await self.runner.run()

    def takes_requests(self) -> bool:
        ready = self.state is ModelState.READY and self.runner.spec is not None
        return ready and not self.leaving and not self.retired

    def admit(self) -> None:
        """Let those who wait go to the engine, as far as it takes requests."""
        if self.takes_requests():
            self.lobby.pump(anyio.current_time())

    def let_go(self, ticket: Ticket) -> None:
        """Take a request's place back, and give it to the next."""
        self.lobby.leave(ticket)
        self.admit()

    def announce(self) -> None:
        """Wake everybody who waits for this instance to change."""
        self.changed.set()
        self.changed = anyio.Event()
        self.lobby.wake()

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

    def last_words(self, lines: int) -> list[str]:
        """The last lines of its last run alone."""
        return tail(self.log, lines, since=self.runner.log_from)


def tail(file: Path, lines: int, *, since: int = 0) -> list[str]:
    """Read the last lines of a log, after its first `since` bytes; none if it does not exist."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(max(since, size - max(_TAIL_BYTES, lines * 400)))
            return opened.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []
