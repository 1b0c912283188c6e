"""A plan in words, the same as `localllm plan` has: why this one, each number's formula. Pure."""

from __future__ import annotations

from localllm.api.views import CandidateView, PlanView
from localllm.wording.figures import size_of
from localllm.wording.plain import plain
from localllm.wording.plans import how_kept, lack_of, name_of, part_named, speeds_of


def sentences_of(one: CandidateView, view: PlanView, *, is_choice: bool) -> list[str]:
    """Why it is, or is not, the choice; what it takes; what becomes of prompts."""
    lines = [plain(view.why)] if is_choice and view.why is not None else []
    lines.append(f"{name_of(one, view)}: {plain(one.reason)}")
    lack = lack_of(one)
    lines += [] if lack is None else [f"it {lack}"]
    if one.prompts is not None:
        lines.append(f"prompts: {how_kept(one.prompts)}")
    if view.advice is not None:
        lines.append(plain(view.advice))
    return lines


def formulas_of(one: CandidateView) -> list[str]:
    """Each number with how it comes about, then the speeds."""
    rows = [
        (plain(each.device), part_named(each.part), size_of(each.bytes), plain(each.formula))
        for each in one.explanation
    ]
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
    lines = [
        f"{device:<{widths[0]}}  {part:<{widths[1]}}  {size:>{widths[2]}}  = {formula}"
        for device, part, size, formula in rows
    ]
    return [*lines, *speeds_of(one)]
