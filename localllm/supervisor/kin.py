"""Which instances belong together, and which make way for which. They are looked at, not changed."""

from __future__ import annotations

from collections.abc import Sequence

from localllm.events import ModelId
from localllm.supervisor.hosted import Hosted


def others_of(hosted: Hosted, instances: Sequence[Hosted]) -> list[Hosted]:
    """List the other instances of a model for the same prompts."""
    model, lane = hosted.planned.model, hosted.terms.lane
    alike = [h for h in instances if h.planned.model == model and h.terms.lane is lane]
    return [h for h in alike if h is not hosted]


def replaced_by(
    hosted: Hosted, instances: Sequence[Hosted], current: ModelId | None
) -> Sequence[Hosted]:
    """List those from which an instance takes over once it is ready.

    Args:
        current: What is served now, which it is to replace if its terms say so.
    """
    older = others_of(hosted, instances)
    if hosted.terms.replaces_current and current not in {None, hosted.planned.model}:
        older += [h for h in instances if h.planned.model == current and not h.pinned]
    return [other for other in older if not other.retired and other.asked < hosted.asked]
