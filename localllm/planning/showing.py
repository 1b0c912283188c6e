"""What `plan` shows: every quantization of one model, or the best of each model of the catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from localllm.api.views import PlanRequest, PlanView
from localllm.catalog.facts import Use
from localllm.catalog.profile import Profile
from localllm.engines.base import Task
from localllm.errors import ModelNotFound
from localllm.events import DeviceId
from localllm.fit.plan import Budget, Verdict, Wish
from localllm.formats.header import Format
from localllm.hardware.described import describe_machine
from localllm.planning.asking import ask_engine
from localllm.planning.companions import NO_COMPANIONS, Companions, beside_of
from localllm.planning.considering import Considered, Judge, advice, best_of
from localllm.planning.desk import LOCAL_FORMATS, Desk
from localllm.planning.engine_desk import Choices
from localllm.planning.hub_offers import offers_of_repository, with_own_header
from localllm.planning.ledger import setting_of
from localllm.planning.offers import (
    Offer,
    Told,
    offer_of_file,
)
from localllm.planning.survey import Survey
from localllm.planning.views import Light, render_considered, render_machine, render_offered
from localllm.planning.wishes import wish_of
from localllm.store.header_cache import HeaderCache
from localllm.store.names import parse_repository_name
from localllm.store.places import hub_cache
from localllm.store.remote import RemoteHeaders

_READINGS = 3
"""How often the choice may move to another quantization when its own header has been read."""

_QUESTIONS = 3
"""How often the engine is asked: once, where it agrees."""


@dataclass(frozen=True, slots=True)
class Showing:
    """One question, and what its answer is made from."""

    desk: Desk
    request: PlanRequest
    judge: Judge
    seen: Survey
    choices: Choices
    budgets: Sequence[Budget]
    profiles: Sequence[Profile]
    companions: Companions = NO_COMPANIONS

    def answer(self) -> PlanView:
        considered = self._considered()
        considered, asked = self._ask(considered)
        picked = self.judge.choose(considered)
        index = picked.index
        return PlanView(
            hardware=render_machine(self.seen.machine),
            model=render_offered(considered, index) if self.request.model else None,
            use=self.judge.use.value,
            choice=None if self.choices.caveat else index,
            candidates=[
                render_considered(
                    one,
                    self.judge,
                    Light(
                        self.choices.engine(one.offer.format),
                        self.choices.caveat,
                        lacks or None,
                        explain=self.request.explain and i == (index or 0),
                        from_engine=i == asked,
                    ),
                )
                for i, (one, lacks) in enumerate(zip(considered, picked.lacks, strict=True))
            ],
            why=None if index is None else _why(considered[index], considered, self.judge),
            advice=advice(considered, self.judge, self.budgets),
        )

    def _considered(self) -> list[Considered]:
        if self.request.model is None:
            return self._best_of()
        considered = [self._consider(offer) for offer in self._named(self.request.model)]
        return considered if self.request.offline else self._read_own(considered)

    def _best_of(self) -> list[Considered]:
        """The best of each model at a first look, the choice looked at closely."""
        room = sum(budget.usable_bytes for budget in self.budgets)
        best = [best_of(o, self.judge, self._glance, room) for o in self._catalog().values()]
        found = [one for one in best if one is not None]
        index = self.judge.choose(found).index
        if index is not None:
            found[index] = self._consider(found[index].offer)
        return found

    def _consider(self, offer: Offer) -> Considered:
        considered = self.judge.consider(offer, self.budgets, self._wish)
        plan, header = considered.plan, considered.offer.header
        if plan is None or header is None or self.request.hardware is not None:
            return considered
        choice = self.choices.of.get(offer.format)
        if choice is None:
            return considered
        beside = beside_of(self.companions, self._task)
        setting = setting_of(plan, header, choice, beside=beside)
        return replace(considered, plan=self.desk.measured(plan, setting))

    def _glance(self, offer: Offer) -> Considered:
        wish = replace(self._wish, exact=False)
        return self.judge.consider(offer, self.budgets, wish)

    def _read_own(self, considered: list[Considered]) -> list[Considered]:
        """Plan the choice with its own header, and choose again should it have changed."""
        for _ in range(_READINGS):
            index = self.judge.choose(considered).index
            if index is None or considered[index].offer.told in {Told.FILE, Told.HUB}:
                break
            own = with_own_header(considered[index].offer, self._remote())
            considered[index] = self._consider(own)
            if own.told is not Told.HUB:
                break
        return considered

    def _ask(self, considered: list[Considered]) -> tuple[list[Considered], int | None]:
        """Ask the engine that is here about the choice; and again, if it takes more than there is.

        Returns:
            The candidates, and the place of the one that the engine has measured.
        """
        asked = None
        for _ in range(_QUESTIONS if self._can_ask else 0):
            index = self.judge.choose(considered).index
            if index is None or index == asked:
                break
            one = considered[index]
            choice = self.choices.of[one.offer.format]
            heard = ask_engine(one, choice, self.budgets, one.offer.parts, self.desk.environment)
            considered[index] = heard.considered
            if heard.excess is not None:
                considered[index] = self._with_less(one.offer, heard.excess)
            elif heard.from_engine:
                asked = index
            elif heard.considered is one:
                break
        return considered, asked

    @property
    def _can_ask(self) -> bool:
        """Whether this machine is meant, and one model: asking takes a second.

        What an engine tells is of the model alone, as it writes.
        """
        here = self.request.hardware is None and self.choices.caveat is None
        alone = beside_of(self.companions, self._task) is None
        return here and alone and self.request.model is not None

    def _with_less(self, offer: Offer, excess: Mapping[str, int]) -> Considered:
        budgets = [
            replace(b, usable_bytes=b.usable_bytes - max(0, excess.get(b.device, 0)))
            for b in self.budgets
        ]
        return self.judge.consider(offer, budgets, self._wish)

    @property
    def _wish(self) -> Wish:
        return self.companions.over(wish_of(self.request))

    @property
    def _task(self) -> Task:
        return Task.EMBED if self.judge.use is Use.EMBED else Task.WRITE

    def _remote(self) -> RemoteHeaders:
        from localllm.store.hub import HuggingFaceHub  # noqa: PLC0415  # half a second

        environment = self.desk.environment
        cache = HeaderCache(self.desk.paths.cache / "headers")
        return RemoteHeaders(HuggingFaceHub(environment), cache, hub_cache(environment))

    def _catalog(self) -> Mapping[str, Sequence[Offer]]:
        profiles = (p for p in self.profiles if self.judge.use in p.uses)
        return {profile.id: self._of_profile(profile) for profile in profiles}

    def _of_profile(self, profile: Profile) -> Sequence[Offer]:
        offers = self.desk.offers(profile, self.judge.ladder)
        return [o for o in offers if o.is_quant(self.request.quant) and self._is_for(o)]

    def _none_of(self, profile: Profile) -> NoReturn:
        there = [o for o in self.desk.offers(profile, self.judge.ladder) if self._is_for(o)]
        raise _of_none(profile, there, self.request.quant)

    def _is_for(self, offer: Offer) -> bool:
        """Whether the machine has what a format is for: MLX is Apple's, or for who asks for it."""
        if offer.format is Format.GGUF:
            return True
        choice = self.choices.of.get(offer.format)
        asked = choice is not None and self.request.engine == choice.installed.engine
        return choice is not None and (bool(choice.devices) or asked)

    def _named(self, model: str) -> Sequence[Offer]:
        for profile in self.profiles:
            if profile.answers_to(model):
                return self._of_profile(profile) or self._none_of(profile)
        stored = self.desk.on_disk(model)
        if stored is not None:
            return [offer_of_file(stored)]
        name = parse_repository_name(model)
        if name is None or self.request.offline:
            return [offer_of_file(self.desk.find(model))]  # which says why not
        quant = name.quant or self.request.quant
        return offers_of_repository(self._remote(), name.repo, name.revision, quant)


def _of_none(profile: Profile, there: Sequence[Offer], quant: str | None) -> ModelNotFound:
    known = ", ".join(dict.fromkeys(o.quant for o in there if o.quant)) or "none"
    return ModelNotFound(
        f"{profile.id} is not known in {quant}.",
        why=f"the catalog knows it in {known}",
        fix=f"localllm plan {profile.id}, which shows them all",
    )


def show_plan(
    desk: Desk, request: PlanRequest, *, reclaimable: Mapping[DeviceId, int] | None = None
) -> PlanView:
    """Answer `plan`.

    Args:
        reclaimable: Bytes of each device here that instances of ours hold and would give back.

    Raises:
        LocalLLMError: No such model or machine, a broken file or profile, a hub that refuses.
    """
    companions = desk.companions(request)
    request = desk.resolved(request)[0]
    seen, choices = _where(desk, request, reclaimable)
    judge = desk.judge(request, choices)
    budgets = desk.budgets(choices.first, seen.machine)
    return Showing(
        desk, request, judge, seen, choices, budgets, desk.catalog(), companions
    ).answer()


def _where(
    desk: Desk, request: PlanRequest, reclaimable: Mapping[DeviceId, int] | None
) -> tuple[Survey, Choices]:
    """This machine and the engines that run on it; of another, all that it has."""
    if request.hardware is not None:
        return desk.engine_desk.choices_for(describe_machine(request.hardware, desk.profiles))
    named = request.engine or request.model  # which may be a folder of safetensors
    seen = desk.survey(reclaimable, Format if named else LOCAL_FORMATS)
    return seen, desk.engine_desk.choices_or_say(seen, request)


def _why(best: Considered, considered: Sequence[Considered], judge: Judge) -> str:
    assert best.plan is not None
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
