"""Plans what is to be served among what is served already: beside it if it can, else in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

import anyio
import msgspec

from localllm.api.views import ServeRequest
from localllm.errors import DoesNotFit
from localllm.events import DeviceId
from localllm.events import ModelState as S
from localllm.fit.plan import Verdict
from localllm.planning.apart import apart
from localllm.planning.desk import Desk
from localllm.planning.planner import Planned, require_fit
from localllm.planning.uses import NEEDS, use_of
from localllm.supervisor.accounts import coming, held
from localllm.supervisor.fleet import Fleet

_LOADED_WITHIN_S, _LOOK_EVERY_S = 20.0, 0.1
Bytes = Mapping[DeviceId, int]
T = TypeVar("T")


async def arrange(desk: Desk, fleet: Fleet, request: ServeRequest, *, beside: bool) -> Planned:
    """Plan a model; what its budget says holds for all instances together.

    Args:
        beside: Whether to leave others where they are, if it fits as a whole and with the
            context that its use needs. Else all that may be stopped counts as free.

    Raises:
        LocalLLMError: It cannot be: no such model, no memory, no engine.
    """
    ours = held(fleet.instances(), all_of_them=True)
    soon = coming(fleet.instances())
    if beside and (ours or soon):
        planned = await _plan(desk, fleet, request, {d: -count for d, count in soon.items()})
        if _is_of_use(planned, request):
            return _for_all(planned, _sum(ours, soon))
    await _until_others_have_loaded(fleet, request.model)
    ours, may_go = held(fleet.instances(), all_of_them=True), held(fleet.instances())
    planned = await _plan(desk, fleet, request, may_go)
    require_fit(planned)
    return _for_all(planned, {d: count - may_go.get(d, 0) for d, count in ours.items()})


async def arrange_beside(desk: Desk, fleet: Fleet, request: ServeRequest) -> Planned:
    """Plan a model beside all that is served; whether it fits there is the plan's verdict.

    Raises:
        LocalLLMError: There is no such model, or no engine for it.
    """
    ours, soon = held(fleet.instances(), all_of_them=True), coming(fleet.instances())
    planned = await _plan(desk, fleet, request, {d: -count for d, count in soon.items()})
    return _for_all(planned, _sum(ours, soon))


async def arrange_long(desk: Desk, fleet: Fleet, request: ServeRequest, main: Planned) -> Planned:
    """Plan the instance for long prompts that stays beside the `main` one.

    Args:
        request: With the context that it is to have.

    Raises:
        DoesNotFit: There is no memory for both.
    """
    may_go, ours = held(fleet.instances()), held(fleet.instances(), all_of_them=True)
    spent = {d: may_go.get(d, 0) - count for d, count in main.need.items()}
    planned = await _plan(desk, fleet, msgspec.structs.replace(request, parallel=1), spent)
    if planned.plan.verdict is Verdict.TOO_BIG:
        raise DoesNotFit(
            f"There is no room for a second {main.stored.id} with {request.context} tokens.",
            why=f"beside the one with {main.plan.context} tokens: {planned.plan.reason}",
            fix="a smaller context or long_context in the profile, or no long_context",
        )
    return _for_all(planned, {d: ours.get(d, 0) - count for d, count in spent.items()})


async def _until_others_have_loaded(fleet: Fleet, model: str | None) -> None:
    """Wait a while: what one that loads has taken so far is neither free nor known."""
    own = fleet.names.find(model)
    others = [h for h in fleet.instances() if own is None or h.planned.model != own.planned.model]
    with anyio.move_on_after(_LOADED_WITHIN_S):
        while any(h.state is S.STARTING and not h.retired for h in others):
            await anyio.sleep(_LOOK_EVERY_S)


async def _plan(desk: Desk, fleet: Fleet, request: ServeRequest, reclaimable: Bytes) -> Planned:
    return await work_out(partial(desk.as_now().plan, request, reclaimable=reclaimable), fleet)


async def work_out(work: Callable[[], T], fleet: Fleet) -> T:
    """Call what takes a while: in a process of its own where a thread would delay answers."""
    serving = any(h.takes_requests() for h in fleet.instances())
    return await (apart(work) if serving else anyio.to_thread.run_sync(work))


def _is_of_use(planned: Planned, request: ServeRequest) -> bool:
    """Whether it is whole where it should be, with as many tokens as it is wanted for."""
    wanted = request.context or NEEDS[use_of(request.use)].context
    trained = planned.header.context_trained or wanted
    return planned.plan.verdict is Verdict.FITS and planned.plan.context >= min(wanted, trained)


def _for_all(planned: Planned, others: Bytes) -> Planned:
    """Add what others hold to what this one may take."""
    return replace(planned, budget=_sum(planned.budget, others, of=planned.budget))


def _sum(one: Bytes, other: Bytes, *, of: Bytes | None = None) -> Bytes:
    devices = of if of is not None else {**one, **other}
    return {d: one.get(d, 0) + other.get(d, 0) for d in devices}
