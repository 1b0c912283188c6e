"""What the planner is asked for: the user's words, and all that goes with the model. Pure."""

from __future__ import annotations

from dataclasses import replace

from localllm.api.views import ServeRequest
from localllm.catalog.facts import Use
from localllm.engines.base import Task
from localllm.fit.plan import Wish
from localllm.planning.companions import Companions
from localllm.planning.offers import Offer
from localllm.planning.tasks import for_texts, pooling_of
from localllm.planning.uses import NEEDS, use_of


def wish_of(request: ServeRequest) -> Wish:
    """What the user asked for, as the formulas take it."""
    return Wish(
        context=request.context,
        parallel=request.parallel,
        kv_type=request.kv_type,
        goal=NEEDS[use_of(request.use)].context,
    )


def whole_wish(request: ServeRequest, offer: Offer, companions: Companions, task: Task) -> Wish:
    """As `wish_of`, for a file that is here and is to be served."""
    wish, header = companions.over(wish_of(request)), offer.header
    assert header is not None, "a file that is here has one"
    if task is not Task.WRITE:
        return for_texts(wish, header, pooling_of(header, companions.pooling))
    if use_of(request.use) is Use.VISION:
        return replace(wish, projector_bytes=offer.projector_bytes)
    return wish
