"""Serves a model for a while beside others, to be examined: nobody's requests lead to it, nothing remembers it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import anyio

from localllm.api.views import ServeRequest
from localllm.engines.base import Task
from localllm.errors import BadRequest, DoesNotFit, StartFailed
from localllm.events import ModelState as S
from localllm.fit.plan import Verdict
from localllm.planning.planner import Planned, serving_of
from localllm.supervisor.arranging import arrange_beside
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted, Terms
from localllm.supervisor.orders import Orders

_MARK = ".check"
"""Behind its name, so that neither requests nor another quantization of it are meant."""

_GONE_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Visiting:
    """Has guests, one at a time."""

    fleet: Fleet
    orders: Orders

    @asynccontextmanager
    async def guest(self, request: ServeRequest) -> AsyncGenerator[Hosted]:
        """Have a model ready for the length of the block, if it fits beside what is served.

        Raises:
            DoesNotFit: It does not.
            LocalLLMError: There is no such model, no engine, or it does not start.
        """
        async with self.orders.held_up():
            planned = _renamed(await arrange_beside(self.orders.desk, self.fleet, request))
            require_writing(planned)
            if planned.plan.verdict is not Verdict.FITS:
                raise _no_room(planned)
            serving = serving_of(
                planned,
                silence_s=self.orders.desk.settings.supervision.start_silence_s,
                prefix_folder=None,
                pins_slots=False,
            )
            terms = Terms(is_asked_for=False, is_guest=True)
            hosted, _ = self.fleet.serve(planned, serving, terms)
        try:
            await until_ready(hosted)
            yield hosted
        finally:
            with anyio.move_on_after(_GONE_WITHIN_S, shield=True):
                await self.fleet.stop(planned.model, "its examination is over")


async def until_ready(hosted: Hosted) -> None:
    """Wait for an instance.

    Raises:
        StartFailed: It has given up, or was stopped.
        DoesNotFit: There was no memory after all.
    """
    while not hosted.takes_requests():
        if hosted.state is S.FAILED or hosted.retired:
            raise StartFailed(
                f"{hosted.planned.stored.id} could not be started.",
                why=hosted.runner.record.why,
                fix=f"localllm logs {hosted.planned.stored.id}",
            )
        if hosted.refused is not None:
            raise _no_room(hosted.planned, hosted.refused)
        await hosted.changed.wait()


def require_writing(planned: Planned) -> None:
    """See to it that there is something to examine.

    Raises:
        BadRequest: It makes embeddings, or ranks texts.
    """
    if planned.task is not Task.WRITE:
        raise BadRequest(
            f"{name_of_plan(planned)} cannot be examined.",
            why="a check asks questions, and it does not write",
            fix="name a model that does: localllm ls shows them",
        )


def name_of(hosted: Hosted) -> str:
    """What people call a guest."""
    return name_of_plan(hosted.planned)


def name_of_plan(planned: Planned) -> str:
    """The same, of one that is not served yet."""
    return planned.stored.id.removesuffix(_MARK)


def is_guest(planned: Planned) -> bool:
    """Tell whether a plan is of one that is only examined."""
    return planned.stored.id.endswith(_MARK)


def _renamed(planned: Planned) -> Planned:
    stored = replace(planned.stored, id=f"{planned.stored.id}{_MARK}", aliases=(), repo=None)
    return replace(planned, stored=stored)


def _no_room(planned: Planned, why: str | None = None) -> DoesNotFit:
    model = name_of_plan(planned)
    return DoesNotFit(
        f"{model} does not fit beside what is served.",
        why=why or planned.plan.reason,
        fix=f"localllm check {model} --switch serves it in the place of what is served for as long "
        "as the check takes, and brings that back; or localllm stop a model first",
    )
