"""Lends an instance to one request; while it loads or restarts, the request waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from localllm.engine_client.client import EngineClient
from localllm.engines.base import LaunchSpec
from localllm.errors import Busy, NotReady, StartFailed, StillLoading
from localllm.events import InstanceId
from localllm.events import ModelState as S
from localllm.supervisor import messages as msg
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted


@dataclass(frozen=True, slots=True)
class Lent:
    """An instance, for as long as one request has it."""

    instance: InstanceId
    client: EngineClient
    drafts: bool = False
    """Whether something guesses tokens ahead."""


@dataclass(frozen=True, slots=True)
class Lending:
    """The gateway's way to the fleet.

    Args:
        most: Requests that one instance may have, served and waiting; more are refused.
    """

    fleet: Fleet
    connect: Callable[[LaunchSpec], EngineClient]
    most: int

    @asynccontextmanager
    async def borrow(self, name: str | None, wait_s: float) -> AsyncIterator[Lent]:
        """Use an instance for one request.

        Raises:
            ModelNotFound: Nobody answers to `name`.
            Busy: Too many do already.
            StartFailed: It has given up.
            StillLoading: It did not become ready in time.
            NotReady: It, or the daemon, is being stopped.
        """
        hosted = await self._wait_ready(name, wait_s)
        client = hosted.client(self.connect)
        assert client is not None, "whoever takes requests has a process"
        hosted.in_flight += 1
        hosted.total += 1
        try:
            yield Lent(hosted.id, client, drafts=hosted.serving.drafting is not None)
        finally:
            hosted.in_flight -= 1
            hosted.used_at = anyio.current_time()
            if not hosted.in_flight:
                hosted.runner.tell(msg.Idle(hosted.runner.record.run))
                self.fleet.schedule()  # somebody may have waited for it to be idle

    async def _wait_ready(self, name: str | None, wait_s: float) -> Hosted:
        """Wait for whoever answers to the name, which may be another one by the end."""
        hosted = self.fleet.require(name)
        with anyio.move_on_after(wait_s):
            while not (hosted := self.fleet.require(name)).takes_requests() or self.fleet.closing:
                self._raise_if_hopeless(hosted)
                hosted.waiting += 1
                try:
                    await hosted.changed.wait()
                finally:
                    hosted.waiting -= 1
            self._raise_if_full(hosted)
            return hosted
        raise StillLoading(
            f"{hosted.planned.stored.id} is still loading.",
            why=f"it is {hosted.state}, and did not get ready within {wait_s:.0f} s",
            fix="localllm status shows its progress",
        )

    def _raise_if_hopeless(self, hosted: Hosted) -> None:
        model = hosted.planned.stored.id
        if self.fleet.closing or hosted.retired:
            raise NotReady(
                f"{model} is not ready.", why="it is being stopped", fix="localllm status"
            )
        if hosted.state is S.FAILED or hosted.refused is not None:
            raise StartFailed(
                f"{model} could not be started.",
                why=hosted.refused or hosted.runner.record.why,
                fix=f"localllm logs {model}, then localllm up again",
            )
        self._raise_if_full(hosted)
        if hosted.state is S.STOPPED and not self.fleet.is_on_its_way(hosted):
            self.fleet.want(hosted)  # it was evicted: whoever asks brings it back

    def _raise_if_full(self, hosted: Hosted) -> None:
        if hosted.in_flight + hosted.waiting >= self.most:
            raise Busy(
                f"{hosted.planned.stored.id} has too many requests.",
                why=f"{hosted.in_flight} are served and {hosted.waiting} wait, "
                f"{self.most} are the limit",
                fix="send it again in a while, or raise max_requests in config.toml",
            )
