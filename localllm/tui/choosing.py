"""What a chooser knows and what is wanted of it: answers that came, wishes, and what is still to be asked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from localllm.api.now_views import NowView
from localllm.api.store_views import StoreView
from localllm.api.views import PlanView
from localllm.errors import LocalLLMError
from localllm.tui.choices import (
    Choice,
    Wish,
    merge,
    next_context,
    next_quant,
    with_wish,
)
from localllm.tui.figures import size_exactly
from localllm.tui.filtering import at_address, is_address, matching
from localllm.wording.figures import size_of
from localllm.wording.plain import plain

NO_WISH = Wish()

Question: TypeAlias = tuple[str, int | None]
"""A model and a context that a plan is asked for; None: as much as fits."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list."""

    base: Choice
    """Before anybody wished anything; its key is the line's."""

    shown: Choice
    wish: Wish
    lacks: Question | None
    """What is to be asked before the figures are those of the wish."""

    trouble: LocalLLMError | None = None
    """Why that could not be told."""

    @property
    def is_stale(self) -> bool:
        return self.lacks is not None and self.wish != NO_WISH and self.trouble is None

    @property
    def is_unknown(self) -> bool:
        """Nobody knows its size before the hub, or a file, was asked: as of an address that was typed."""
        return self.lacks is not None and not self.shown.is_here and not self.base.is_planned


@dataclass(frozen=True, slots=True)
class Choosing:
    """Replaced with whatever comes."""

    plan: PlanView | None = None
    store: StoreView | None = None
    troubles: Mapping[str, LocalLLMError] = field(default_factory=dict[str, LocalLLMError])
    """By what was asked for: why it did not come."""

    wishes: Mapping[str, Wish] = field(default_factory=dict[str, Wish])
    plans: Mapping[Question, PlanView | LocalLLMError] = field(
        default_factory=dict[Question, PlanView | LocalLLMError]
    )


def rows_of(choosing: Choosing, now: NowView | None, text: str) -> tuple[Row, ...]:
    """List what there is to choose from, filtered by a text; a hub's address is a choice of its own."""
    choices = merge(choosing.plan, choosing.store, now)
    found = at_address(choices, text) if is_address(text) else matching(choices, text)
    return tuple(_row(choosing, one) for one in found)


def with_plan(choosing: Choosing, question: Question, answer: PlanView | LocalLLMError) -> Choosing:
    """Take in what one model costs."""
    return replace(choosing, plans={**choosing.plans, question: answer})


def with_quant_step(choosing: Choosing, row: Row, step: int) -> Choosing:
    """Want the next quantization, or the one before."""
    wish = replace(row.wish, steps=row.wish.steps + step)
    return _wishing(choosing, row, wish)


def with_context_step(choosing: Choosing, row: Row, *, larger: bool) -> Choosing:
    """Want about twice the context, or half of it."""
    plan = _known(choosing, row.base.name, None) or _known(
        choosing, row.base.name, row.wish.context
    )
    trained = None if plan is None or plan.model is None else plan.model.context_trained
    context = next_context(row.wish.context or row.shown.context, trained, larger=larger)
    return choosing if context is None else with_context(choosing, row, context)


def with_context(choosing: Choosing, row: Row, context: int | None) -> Choosing:
    """Want so many tokens; None: as many as fit."""
    return _wishing(choosing, row, replace(row.wish, context=context))


def title(choice: Choice) -> str:
    """Name it."""
    return plain(" ".join(filter(None, (choice.name, choice.quant))))


def refusal(row: Row) -> str | None:
    """Why it is not begun at all; None: it may be."""
    if row.trouble is not None and row.lacks is None:
        return f"{plain(row.trouble.what)} {plain(row.trouble.why)}"
    if row.is_stale:
        return "What that costs is being asked; enter again once it is there."
    if row.shown.verdict != "too_big":
        return None
    return f"{title(row.shown)} is too big for this machine: {plain(row.shown.reason)}"


def fetching_question(row: Row, store: StoreView | None) -> str:
    """Ask before anything is fetched, with what it is."""
    shown = row.shown
    from_where = f" from {plain(shown.repo)}" if shown.repo else ""
    room = "" if store is None else f"; {size_of(store.free)} are free on the disk"
    return f"{title(shown)} is not here: {size_exactly(shown.fetch_bytes)} would be fetched{from_where}{room}."


def why_nothing(choosing: Choosing) -> str:
    """Say why there is no row."""
    if choosing.plan is not None or choosing.store is not None:
        return "No model is called so; hf:OWNER/REPO is any of the hub's, a path any file."
    if choosing.troubles:
        return "There is nothing to choose from."
    return "This machine is being planned for, and its disk read ..."


def _wishing(choosing: Choosing, row: Row, wish: Wish) -> Choosing:
    plan = _known(choosing, row.base.name, wish.context)
    if plan is not None and wish.steps:
        quant = next_quant(plan, wish.quant or row.base.quant, wish.steps)
        wish = replace(wish, quant=quant, steps=0)
    return replace(choosing, wishes={**choosing.wishes, row.base.key: wish})


def _row(choosing: Choosing, base: Choice) -> Row:
    wish = choosing.wishes.get(base.key, NO_WISH)
    if wish == NO_WISH and (base.is_planned or base.is_serving):
        return Row(base, base, wish, None)
    question = (base.name, wish.context)
    answer = choosing.plans.get(question)
    if isinstance(answer, LocalLLMError):
        return Row(base, _hoped(base, wish), wish, None, answer)
    if answer is None:
        return Row(base, _hoped(base, wish), wish, question)
    if wish.steps:
        quant = next_quant(answer, wish.quant or base.quant, wish.steps)
        wish = replace(wish, quant=quant, steps=0)
    if base.quant is None and wish.quant is None and answer.choice is not None:
        wish = replace(wish, quant=answer.candidates[answer.choice].quant)
    return Row(base, with_wish(base, wish, answer), wish, None)


def _hoped(base: Choice, wish: Wish) -> Choice:
    return replace(base, quant=wish.quant or base.quant, context=wish.context or base.context)


def _known(choosing: Choosing, name: str, context: int | None) -> PlanView | None:
    answer = choosing.plans.get((name, context))
    return answer if isinstance(answer, PlanView) else None
