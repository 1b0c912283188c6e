"""What came of considering offers, and why the choice is the choice. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from localllm.fit.plan import Verdict
from localllm.planning.considering import Considered, Judge
from localllm.planning.ranking import Choice


@dataclass(frozen=True, slots=True)
class Decision:
    """What was considered, and what came of it."""

    considered: Sequence[Considered]
    picked: Choice
    asked: int | None
    """The place of the one that the engine has measured; None if it has measured none."""

    @property
    def chosen(self) -> Considered | None:
        """The one to take; None if none is any good."""
        return None if self.picked.index is None else self.considered[self.picked.index]

    def is_chosen(self, one: Considered) -> bool:
        """Whether it is the chosen one, perhaps looked at more closely since."""
        chosen, offer = self.chosen, one.offer
        if chosen is None:
            return False
        ours = (chosen.offer.repo, chosen.offer.quant, chosen.offer.files)
        return ours == (offer.repo, offer.quant, offer.files)

    def with_chosen(self, one: Considered) -> Decision:
        """As it is after another look at the chosen one."""
        seen = [one if i == self.picked.index else c for i, c in enumerate(self.considered)]
        return replace(self, considered=seen)


def why_this(decision: Decision, judge: Judge) -> str | None:
    """Why the choice is the choice, in one sentence; None without one."""
    best, considered = decision.chosen, decision.considered
    if best is None:
        return None
    assert best.plan is not None, "what has no plan is not chosen"
    name = " ".join(filter(None, (best.offer.model, best.offer.quant)))
    fitting = sum(c.plan is not None and c.plan.verdict is not Verdict.TOO_BIG for c in considered)
    among = "the one that fits" if fitting == 1 else f"the best of {fitting} that fit"
    said = [f"{name} is {among}"]
    if best.plan.verdict is Verdict.FITS_PARTLY:
        said.append("in part on the processor")
    if best.plan.context >= judge.need.context:
        said.append(f"with {best.plan.context} tokens of context")
    elif best.plan.context >= judge.need.least_context:
        said.append(
            f"with {best.plan.context} tokens of context, where {judge.need.context} are wanted"
        )
    else:
        said.append(
            f"but has room for {best.plan.context} tokens only, under the "
            f"{judge.need.least_context} that {judge.use.value} needs"
        )
    unknown = "; how fast it is, its first start will show" if best.plan.speed is None else ""
    return " ".join(said) + f"{unknown}."
