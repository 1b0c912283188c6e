"""The store, as a daemon shows and tidies it: nothing that is served, or being pulled, is removed.

What may import the hub's library, which would stay in memory for good, is done in other processes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio

from localllm.api.pull_views import PullRequest, PullView
from localllm.api.store_views import RemovedView, StoreView, TidyRequest
from localllm.api.views import ServeRequest
from localllm.errors import InUse
from localllm.planning.apart import apart
from localllm.planning.desk import Desk
from localllm.planning.finding import find_on_disk
from localllm.planning.pull_plans import plan_pull
from localllm.planning.shelf import models_here, remove_model, show_store
from localllm.planning.tidying import Spared, tidy
from localllm.supervisor.accounts import held
from localllm.supervisor.claims import Claim
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.orders import Orders
from localllm.supervisor.pull_messages import Then
from localllm.supervisor.pulls import Pulls
from localllm.supervisor.served_files import read_served_files


@dataclass(frozen=True, slots=True)
class Storekeeping:
    """The verbs of the control API that concern files."""

    desk: Desk
    fleet: Fleet
    orders: Orders
    pulls: Pulls
    _removing: anyio.Lock = field(default_factory=anyio.Lock)
    """No pull begins meanwhile: it would count on a file that is about to go."""

    async def pull(self, request: PullRequest) -> PullView:
        """Plan a pull and begin it, or put it into the queue.

        Raises:
            LocalLLMError: There is no such model, it does not fit, or the hub cannot be asked.
        """
        await self.orders.fresh(request)
        ours = held(self.fleet.instances())
        work = partial(plan_pull, self.desk, request, reclaimable=ours)
        plan = await apart(work)
        async with self._removing:
            if plan.on_disk:  # it may have been removed since
                plan = await apart(work)
            return self.pulls.add(plan, _then(request, plan.model))

    async def show(self, *, fit: bool) -> StoreView:
        """Show what is on this disk.

        Args:
            fit: Whether to plan each model, which takes a while.
        """
        ours = held(self.fleet.instances())
        work = partial(show_store, self.desk, await self._served(), fit=fit, reclaimable=ours)
        return await (apart(work) if fit else anyio.to_thread.run_sync(work))

    async def remove(self, name: str) -> RemovedView:
        """Remove a model, and end pulls of it that do not run.

        Raises:
            ModelNotFound: It is not on this disk.
            InUse: It is served, or being pulled.
        """
        async with self.orders.held_up(), self._removing:
            claims = self.pulls.claims()
            work = partial(_remove, self.desk, name, await self._served(), claims)
            removed, ended = await apart(work)
        for pull in ended:
            await self.pulls.cancel(pull)
        return removed

    async def tidy(self, request: TidyRequest, used: Mapping[str, float]) -> RemovedView:
        """Remove leftovers, and models as far as is asked for; what is in use or pinned stays.

        Args:
            used: When models were last asked, by id, in Unix seconds.
        """
        async with self.orders.held_up(), self._removing:
            served = await self._served()
            spared = Spared(self.orders.asks.pinned, used, self.pulls.wanted_repositories())
            return await apart(partial(tidy, self.desk, request, served, spared))

    async def _served(self) -> frozenset[Path]:
        planned = [hosted.planned for hosted in self.fleet.instances()]
        return await anyio.to_thread.run_sync(read_served_files, planned)


def _then(request: PullRequest, model: str) -> Then | None:
    """What is to be served by the name that serves it, which has its quantization in it."""
    if request.then is None:
        return None
    said = {name: getattr(request, name) for name in ServeRequest.__struct_fields__}
    wanted = ServeRequest(**{**said, "model": model, "quant": None})
    return Then(request.then, wanted, lacks_engine=request.get_engine)


def _remove(
    desk: Desk, name: str, served: frozenset[Path], claims: Sequence[Claim]
) -> tuple[RemovedView, Sequence[str]]:
    """Remove it, if no pull counts on what it has but such as rest, and are of the same model.

    Returns:
        What was removed, and the pulls that are to end with it.
    """
    meant = find_on_disk(name, models_here(desk), desk)
    real = {os.path.realpath(file) for file in meant.model.files}
    ended = []
    for claim in claims:
        if real.isdisjoint(os.path.realpath(file) for file in claim.contents):
            continue
        same = (claim.repo, claim.quant) == (meant.model.repo, meant.model.quant)
        if not (claim.at_rest and same):
            raise InUse(
                f"{meant.name} is being pulled, or shares a file with what is, so it stays.",
                why=f"the pull {claim.pull} has not ended, and counts on that file",
                fix="localllm pull shows it: wait for it, or localllm pull MODEL --cancel",
            )
        ended.append(claim.pull)
    return remove_model(desk, name, served), ended
