"""How the prompts of an offer would be kept if it were served here. Pure."""

from __future__ import annotations

from pathlib import Path

from localllm.catalog.facts import Use
from localllm.engines.base import Task
from localllm.planning.considering import Considered
from localllm.planning.deciding import Deciding
from localllm.planning.offers import Offer
from localllm.planning.planner import Planned
from localllm.planning.prompt_keeping import PromptKeeping, how_prompts_are_kept
from localllm.store.stored import StoredModel


def keeping_of(asked: Deciding, one: Considered) -> PromptKeeping | None:
    """Say how.

    Returns:
        None where no engine here can run it, it has no plan, or another machine is meant: what the
        engine there can do is not known.
    """
    choices, offer = asked.choices, one.offer
    choice = choices.of.get(offer.format)
    elsewhere = asked.request.hardware is not None or choices.caveat is not None
    if choice is None or one.plan is None or offer.header is None or elsewhere:
        return None
    planned = Planned(
        stored=_as_if_here(offer),
        header=offer.header,
        choice=choice,
        plan=one.plan,
        threads=asked.seen.machine.host.cores,
        budget={b.device: b.usable_bytes for b in asked.budgets},
        task=Task.EMBED if asked.judge.use is Use.EMBED else Task.WRITE,
        companions=asked.companions,
    )
    return how_prompts_are_kept(planned, asked.desk.settings.prefix)


def _as_if_here(offer: Offer) -> StoredModel:
    """Its file, as it will be on this disk once it was fetched."""
    if offer.stored is not None:
        return offer.to_serve()
    return StoredModel(
        id=offer.model,
        file=Path(),
        file_bytes=offer.size_bytes or 0,
        repo=offer.repo,
        projector=Path() if offer.projector_bytes else None,
        format=offer.format,
    )
