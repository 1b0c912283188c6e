"""Plans every offer for a machine, and chooses: what `plan` shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from localllm.catalog.facts import Use
from localllm.catalog.ladder import Ladder
from localllm.catalog.profile import Profile
from localllm.errors import LocalLLMError
from localllm.events import DeviceId
from localllm.fit.any_format import plan as fit
from localllm.fit.cache import CONTEXT_STEP
from localllm.fit.plan import Budget, Plan, Verdict, Wish
from localllm.formats.header import Format, Header
from localllm.planning.offers import Offer, alike, outlined
from localllm.planning.ranking import (
    Choice,
    Contender,
    Need,
    cannot_be_beaten,
    choose,
    is_useful,
)
from localllm.planning.tasks import for_texts, pooling_of
from localllm.planning.uses import BENCHMARK
from localllm.units import size


@dataclass(frozen=True, slots=True)
class Considered:
    """An offer, planned; or why there is no plan of it."""

    offer: Offer
    plan: Plan | None
    why_not: str | None = None
    note: str | None = None
    """What could be had beside it."""


@dataclass(frozen=True, slots=True)
class Judge:
    """What offers are judged by."""

    use: Use
    need: Need
    ladder: Ladder
    ranking: Sequence[str] = ()
    """Models in the user's own order, the best first."""

    asked_quant: str | None = None
    """What the user named is never too low for them."""

    asked_context: int | None = None
    formats: frozenset[Format] = frozenset({Format.GGUF})
    """What an engine that is here can serve."""

    def consider(self, offer: Offer, budgets: Sequence[Budget], wish: Wish) -> Considered:
        offer = outlined(offer)
        if offer.header is None:
            return Considered(offer, None, offer.caveat)
        wished = replace(wish, goal=self.need.context)
        if self.use is Use.VISION:
            wished = replace(wished, projector_bytes=offer.projector_bytes)
        if self.use is Use.EMBED:
            wished = for_texts(wished, offer.header, pooling_of(offer.header, None))
        try:
            plan = fit(offer.header, budgets, wished)
        except LocalLLMError as error:
            return Considered(offer, None, f"{error.what} {error.why}.")
        return Considered(offer, plan, note=_room_for_draft(offer, plan, budgets))

    def choose(self, considered: Sequence[Considered]) -> Choice:
        return choose([self._contender(c) for c in considered], self.need)

    def is_useful(self, considered: Considered) -> bool:
        return is_useful(self._contender(considered), self.need)

    def is_beyond_doubt(self, considered: Considered) -> bool:
        """Whether no lower quantization of the same model can be the better choice."""
        return cannot_be_beaten(self._contender(considered), self.need)

    def _contender(self, considered: Considered) -> Contender:
        offer, profile = considered.offer, considered.offer.profile
        rung = None if offer.quant is None else self.ladder.rung(offer.quant)
        place = None if offer.quant is None else self.ladder.place(offer.quant, native=offer.native)
        asked = self.asked_quant is not None and offer.is_quant(self.asked_quant)
        return Contender(
            model=offer.model,
            quant=offer.quant,
            size_bytes=offer.size_bytes,
            plan=considered.plan,
            rank=self._rank(offer.model, profile),
            score=None if profile is None else self._score(profile),
            parameters=None if profile is None else profile.parameters,
            rung=place,
            kld=self.kld(offer),
            no_engine=None if offer.format in self.formats else _no_engine(offer.format),
            advice=None if rung is None or asked or offer.native else rung.advice,
            most_context=self._most_context(offer),
        )

    def _most_context(self, offer: Offer) -> int | None:
        """The longest that is of use: what was asked for, or trained, in whole steps."""
        trained = None if offer.header is None else offer.header.context_trained
        if trained is None:
            return self.asked_context
        whole = trained // CONTEXT_STEP * CONTEXT_STEP
        return whole if self.asked_context is None else min(whole, self.asked_context)

    def kld(self, offer: Offer) -> float | None:
        """Of these very weights where somebody measured it, else of the quantization elsewhere."""
        if offer.kld is not None or offer.quant is None or offer.native:
            return offer.kld
        rung = self.ladder.rung(offer.quant)
        return None if rung is None else rung.kld

    def _rank(self, model: str, profile: Profile | None) -> int | None:
        names = {model} if profile is None else {profile.id, *profile.aliases}
        return next((i for i, name in enumerate(self.ranking) if name in names), None)

    def _score(self, profile: Profile) -> float | None:
        wanted = BENCHMARK[self.use]
        return next((s.value for s in profile.scores if s.benchmark == wanted), None)


def _no_engine(format_: Format) -> str:
    engine = "mlx-lm" if format_ is Format.MLX else "vllm or sglang"
    return f"needs an engine that is not here ({engine})"


DRAFT_BUFFERS = 1.25
"""Of a draft's file, what it takes with a cache and buffers of its own: an allowance."""


def _room_for_draft(offer: Offer, plan: Plan, budgets: Sequence[Budget]) -> str | None:
    """Say that what guesses tokens ahead would fit too, where the model's makers have such a thing."""
    draft = None if offer.profile is None else offer.profile.draft
    if draft is None or draft.size is None or plan.verdict is not Verdict.FITS:
        return None
    usable = {budget.device: budget.usable_bytes for budget in budgets}
    spare = max(usable[p.device] - p.size_bytes for p in plan.placement if p.layers)
    if spare < DRAFT_BUFFERS * draft.size:
        return None
    return f"There is room for its {draft.kind} draft too ({size(draft.size)})."


def best_of(
    offers: Sequence[Offer],
    judge: Judge,
    consider: Callable[[Offer], Considered],
    room_bytes: int,
) -> Considered | None:
    """Of one model the best quantization; the offers come with the best quality first.

    The first that nothing can beat ends the search, and what is larger than all memory there is
    is not looked at, unless nothing else is left.

    Args:
        room_bytes: Of all devices and the host.
    """
    considered: list[Considered] = []
    known: Header | None = None
    for offer in _worth_a_look(offers, room_bytes):
        considered.append(consider(alike(offer, known)))
        known = known or considered[-1].offer.header
        if judge.is_beyond_doubt(considered[-1]):
            break
    if not considered:
        return None
    index = judge.choose(considered).index
    return considered[_smallest(considered) if index is None else index]


def _worth_a_look(offers: Sequence[Offer], room_bytes: int) -> Sequence[Offer]:
    fitting = [o for o in offers if o.size_bytes is None or o.size_bytes <= room_bytes]
    return fitting or sorted(offers, key=lambda o: o.size_bytes or 0)[:1]


def _smallest(considered: Sequence[Considered]) -> int:
    sizes = [c.offer.size_bytes or 1 << 62 for c in considered]
    return sizes.index(min(sizes))


def _is_short(plan: Plan, usable: Mapping[DeviceId, int]) -> bool:
    """Whether it is memory that is lacking."""
    return any(p.size_bytes > usable[p.device] for p in plan.placement)


def advice(considered: Sequence[Considered], judge: Judge, budgets: Sequence[Budget]) -> str | None:
    """Say what it would take, where nothing that fits is of use; None where something is."""
    if any(judge.is_useful(c) for c in considered):
        return None
    usable = {budget.device: budget.usable_bytes for budget in budgets}
    short = [c for c in considered if c.plan is not None and _is_short(c.plan, usable)]
    if not short:
        return None
    least = min(short, key=lambda c: c.plan.memory.total if c.plan else 0)
    assert least.plan is not None
    name = " ".join(filter(None, (least.offer.model, least.offer.quant)))
    need = max(p.size_bytes for p in least.plan.placement)
    return (
        f"Nothing that fits is of use here. {name} would take a device with {size(need)} to spare; "
        "a smaller model, or one that somebody hosts, is the other way."
    )
