"""What `plan` shows: every quantization of one model, or the best of each model of the catalog."""

from __future__ import annotations

from collections.abc import Mapping

from localllm.api.views import PlanRequest, PlanView
from localllm.events import DeviceId
from localllm.planning.considering import advice
from localllm.planning.deciding import Deciding, deciding
from localllm.planning.decision import Decision, why_this
from localllm.planning.desk import Desk
from localllm.planning.offer_keeping import keeping_of
from localllm.planning.views import Light, render_considered, render_machine, render_offered


def show_plan(
    desk: Desk, request: PlanRequest, *, reclaimable: Mapping[DeviceId, int] | None = None
) -> PlanView:
    """Answer `plan`.

    Args:
        reclaimable: Bytes of each device here that instances of ours hold and would give back.

    Raises:
        LocalLLMError: No such model or machine, a broken file or profile, a hub that refuses.
    """
    asked = deciding(desk, request, reclaimable=reclaimable)
    return _render(asked, asked.decide())


def _render(asked: Deciding, decision: Decision) -> PlanView:
    considered, index = decision.considered, decision.picked.index
    choices = asked.choices
    return PlanView(
        hardware=render_machine(asked.seen.machine),
        model=render_offered(considered, index) if asked.request.model else None,
        use=asked.judge.use.value,
        choice=None if choices.caveat else index,
        candidates=[
            render_considered(
                one,
                asked.judge,
                Light(
                    choices.engine(one.offer.format),
                    choices.caveat,
                    lacks or None,
                    explain=asked.request.explain and i == (index or 0),
                    from_engine=i == decision.asked,
                    keeping=keeping_of(asked, one),
                ),
            )
            for i, (one, lacks) in enumerate(zip(considered, decision.picked.lacks, strict=True))
        ],
        why=why_this(decision, asked.judge),
        advice=advice(considered, asked.judge, asked.budgets),
    )
