"""Lends an instance to one request; while it loads, restarts or is busy, the request waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from localllm.api.views import ServeRequest
from localllm.engine_client.client import EngineClient
from localllm.engines.base import LaunchSpec
from localllm.errors import (
    BadRequest,
    Busy,
    DoesNotFit,
    LocalLLMError,
    ModelNotFound,
    NotReady,
    StartFailed,
    StillLoading,
)
from localllm.events import InstanceId
from localllm.events import ModelState as S
from localllm.supervisor import messages as msg
from localllm.supervisor.admission import Ask
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.lobby import Ticket
from localllm.supervisor.resolving import WHATEVER


@dataclass(frozen=True, slots=True)
class Asking:
    """What counts of a request for who serves it, and when."""

    model: str | None
    client: str
    """Who asks; the requests of one do not push those of another back."""

    tokens: int
    """About as many its prompt has."""

    wanted: ServeRequest | None = None
    """What is loaded where nobody answers to the name, see resolving.py. Its context is what who
    answers must have."""

    conversation: str | None = None
    """As the client names it."""

    is_passing: bool = False
    """Nobody will go on from its prompt: it is not kept on disk, and compared with no other."""

    @property
    def context(self) -> int:
        """Tokens that who answers must have at least."""
        return 0 if self.wanted is None else self.wanted.context or 0


@dataclass(frozen=True, slots=True)
class Lent:
    """An instance, for as long as one request has it."""

    hosted: Hosted
    client: EngineClient

    @property
    def instance(self) -> InstanceId:
        return self.hosted.id

    @property
    def drafts(self) -> bool:
        """Whether something guesses tokens ahead."""
        return self.hosted.serving.drafting is not None


@dataclass(frozen=True, slots=True)
class Lending:
    """The gateway's way to the fleet.

    Args:
        load: Sees to it that a model is served which a request names, as it is wanted if that is
            said, and returns the name that it answers to; raises ModelNotFound where it is not installed, or may not be loaded.
        most: How many requests one instance may have now, served and waiting; more are refused.
    """

    fleet: Fleet
    connect: Callable[[LaunchSpec], EngineClient]
    load: Callable[[str, ServeRequest | None], Awaitable[str]]
    most: Callable[[], int]

    @asynccontextmanager
    async def borrow(self, asking: Asking, wait_s: float) -> AsyncIterator[Lent]:
        """Use an instance for one request.

        Raises:
            ModelNotFound: Nobody answers to the name, and nothing that is installed does.
            BadRequest: Who answers has not the context that the name stands for.
            Busy: Too many do already, or they did not get done in time.
            DoesNotFit: It was unloaded, and there is no memory for it any more.
            StartFailed: It has given up.
            StillLoading: It did not become ready in time.
            NotReady: It, or the daemon, is being stopped.
        """
        hosted, ticket = await self._admitted(asking, wait_s)
        try:
            client = hosted.client(self.connect)
            assert client is not None, "whoever takes requests has a process"
            hosted.total += 1
            yield Lent(hosted, client)
        finally:
            hosted.used_at = anyio.current_time()
            self._let_go(hosted, ticket)

    def reach(self, hosted: Hosted | None) -> EngineClient | None:
        """Talk to an instance beside its requests, for what takes no slot; None: it is not ready."""
        if hosted is None or not hosted.takes_requests():
            return None
        return hosted.client(self.connect)

    def _let_go(self, hosted: Hosted, ticket: Ticket) -> None:
        hosted.let_go(ticket)
        if not hosted.in_flight:
            hosted.runner.tell(msg.Idle(hosted.runner.record.run))
            self.fleet.grants.schedule()  # somebody may have waited for it to be idle

    async def _admitted(self, asking: Asking, wait_s: float) -> tuple[Hosted, Ticket]:
        """Wait for a place at whoever answers to the name, which may be another one by the end."""
        number = next(self.fleet.tools.numbers)
        ask = Ask(number, asking.client, asking.tokens, anyio.current_time())
        hosted: Hosted | None = None
        with anyio.move_on_after(wait_s):
            while True:
                first = hosted is None
                hosted = await self._answering(asking)
                if first:
                    self._raise_if_full(hosted)
                ticket = await self._wait_at(hosted, ask)
                if ticket.admitted and hosted.runner.spec is not None:
                    return hosted, ticket
                if ticket.admitted:  # its process has ended since, which is about to be known
                    await self._after_its_end(hosted, ticket)
        raise _waited_too_long(hosted, asking, wait_s)

    async def _after_its_end(self, hosted: Hosted, ticket: Ticket) -> None:
        changed = hosted.changed
        self._let_go(hosted, ticket)
        if hosted.state is S.READY:
            await changed.wait()

    async def _wait_at(self, hosted: Hosted, ask: Ask) -> Ticket:
        """Queue until it is our turn, or until something has changed."""
        ticket = hosted.lobby.enter(ask)
        try:
            hosted.admit()
            if not ticket.admitted:
                await ticket.turn.wait()
        except BaseException:  # the client has gone, or has waited long enough
            self._let_go(hosted, ticket)
            raise
        if not ticket.admitted:
            hosted.lobby.leave(ticket)
        return ticket

    async def _answering(self, asking: Asking) -> Hosted:
        """Find who answers, and have it started if it is at rest."""
        if self.fleet.closing:
            raise NotReady("The daemon stops.", why="it was told to", fix="localllm up, after that")
        hosted = await self._find_or_load(asking)
        if hosted.takes_requests() or self.fleet.is_on_its_way(hosted):
            return hosted
        if self.fleet.successor_of(hosted) is not None or hosted.shrinks:
            return hosted  # which makes way; whoever waits is told when the other is there
        self._raise_if_hopeless(hosted)
        if hosted.retired:
            return hosted  # it ends; then somebody else answers, or is loaded
        return await self._brought_back(hosted, asking)

    def _raise_if_hopeless(self, hosted: Hosted) -> None:
        model = hosted.planned.stored.id
        if hosted.dismissed:
            raise NotReady(
                f"{model} is not ready.", why="it is being stopped", fix="localllm status"
            )
        if hosted.state is S.FAILED:
            raise StartFailed(
                f"{model} could not be started.",
                why=hosted.runner.record.why,
                fix=f"localllm logs {model}, then localllm up again",
            )

    async def _find_or_load(self, asking: Asking) -> Hosted:
        tokens = max(asking.tokens, asking.context)
        try:
            found = self.fleet.names.require(asking.model, tokens)
        except ModelNotFound as unknown:
            try:
                loaded = await self.load(asking.model or WHATEVER, asking.wanted)
            except ModelNotFound as error:
                raise unknown from error
            found = self.fleet.names.require(loaded, tokens)
        _raise_if_short(found, asking)
        return found

    async def _brought_back(self, hosted: Hosted, asking: Asking) -> Hosted:
        """Start what was evicted or unloaded; planned anew where it no longer fits as it was."""
        await self.fleet.bring_back(hosted)
        if self.fleet.names.find(hosted.id) is not hosted:  # replaced while we looked around
            return await self._answering(asking)
        if hosted.refused is None:
            return hosted
        await self.load(hosted.planned.model, None)
        again = self.fleet.names.require(asking.model, max(asking.tokens, asking.context))
        if again.refused is not None:
            raise DoesNotFit(
                f"{hosted.planned.stored.id} does not fit beside what is served.",
                why=again.refused,
                fix="localllm stop a model, or localllm unpin one: localllm status shows them",
            )
        return again

    def _raise_if_full(self, hosted: Hosted) -> None:
        most = self.most()
        if hosted.in_flight + hosted.waiting >= most:
            raise Busy(
                f"{hosted.planned.stored.id} has too many requests.",
                why=f"{hosted.in_flight} are served and {hosted.waiting} wait, "
                f"{most} are the limit",
                fix="send it again in a while, or raise max_requests in config.toml",
            )


def _raise_if_short(hosted: Hosted, asking: Asking) -> None:
    """Refuse a name that stands for a context which nobody has who answers to it."""
    has = hosted.planned.plan.context
    if has < asking.context:
        model = hosted.planned.stored.id
        raise BadRequest(
            f"{model} is not served with the context that this name stands for.",
            why=f"the name stands for {asking.context} tokens, {model} is served with {has}",
            fix=f"localllm up {model} --context {asking.context}, or ask for {model}",
            param="model",
        )


def _waited_too_long(hosted: Hosted | None, asking: Asking, wait_s: float) -> LocalLLMError:
    if hosted is not None and hosted.takes_requests():
        return Busy(
            f"{hosted.planned.stored.id} is busy.",
            why=f"it waited for {wait_s:.0f} s: {hosted.lobby.held_last or 'others were served'}",
            fix="send it again in a while; localllm status shows who is served",
        )
    model = asking.model if hosted is None else hosted.planned.stored.id
    state = "being planned" if hosted is None else hosted.state.value
    return StillLoading(
        f"{model} is still loading.",
        why=f"it is {state}, and did not get ready within {wait_s:.0f} s",
        fix="localllm status shows its progress",
    )
