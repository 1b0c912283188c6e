"""Decides what would run here: every quantization of one model, or the best of each of the catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from localllm.api.views import PlanRequest
from localllm.catalog.facts import Use
from localllm.catalog.profile import Profile
from localllm.engines.base import Task
from localllm.errors import EngineUnusable, LocalLLMError, ModelNotFound
from localllm.events import DeviceId
from localllm.fit.plan import Budget, Wish
from localllm.formats.header import Format
from localllm.hardware.described import describe_machine
from localllm.planning.asking import ask_engine
from localllm.planning.companions import NO_COMPANIONS, Companions, beside_of
from localllm.planning.considering import Considered, Judge, best_of
from localllm.planning.decision import Decision
from localllm.planning.desk import LOCAL_FORMATS, Desk
from localllm.planning.engine_desk import Choices
from localllm.planning.hub_offers import (
    Check,
    offers_of_repository,
    own_header,
    with_own_header,
    written,
)
from localllm.planning.ledger import setting_of
from localllm.planning.offers import Offer, Told, alike, offer_of_file
from localllm.planning.survey import Survey
from localllm.planning.wishes import wish_of
from localllm.store.access import endpoint_of
from localllm.store.header_cache import HeaderCache
from localllm.store.names import parse_repository_name
from localllm.store.places import hub_cache
from localllm.store.remote import RemoteHeaders

_READINGS = 3
"""How often the choice may move to another quantization when its own header has been read."""

_QUESTIONS = 3
"""How often the engine is asked: once, where it agrees."""


@dataclass(frozen=True, slots=True)
class Deciding:
    """One question, and what its answer is made from."""

    desk: Desk
    request: PlanRequest
    judge: Judge
    seen: Survey
    choices: Choices
    budgets: Sequence[Budget]
    profiles: Sequence[Profile]
    companions: Companions = NO_COMPANIONS
    check: Check | None = None
    """Given where the choice is to be fetched: its hub has to answer then, and what is in a
    repository has to pass."""

    def decide(self) -> Decision:
        """Consider all that is asked about, and choose.

        Raises:
            LocalLLMError: No such model, a broken file, a hub that refuses.
        """
        considered, asked = self._ask(self._considered())
        return Decision(considered, self.judge.choose(considered), asked)

    @property
    def remote(self) -> RemoteHeaders:
        """The hub that is asked."""
        from localllm.store.hub import HuggingFaceHub  # noqa: PLC0415  # half a second

        environment = self.desk.environment
        cache = HeaderCache(self.desk.paths.headers)
        return RemoteHeaders(HuggingFaceHub(environment), cache, hub_cache(environment))

    def consider(self, offer: Offer) -> Considered:
        """Plan one offer, with what was measured of it."""
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

    def _considered(self) -> list[Considered]:
        if self.request.model is None:
            return self._best_of()
        considered = [self.consider(offer) for offer in self._named(self.request.model)]
        return considered if self.request.offline else self._read_own(considered)

    def _best_of(self) -> list[Considered]:
        """The best of each model at a first look, the choice looked at closely."""
        room = sum(budget.usable_bytes for budget in self.budgets)
        best = [best_of(o, self.judge, self._glance, room) for o in self._catalog().values()]
        found = [one for one in best if one is not None]
        index = self.judge.choose(found).index
        if index is not None:
            found[index] = self.consider(found[index].offer)
        return found

    def _glance(self, offer: Offer) -> Considered:
        wish = replace(self._wish, exact=False)
        return self.judge.consider(offer, self.budgets, wish)

    def _read_own(self, considered: list[Considered]) -> list[Considered]:
        """Plan the choice with its own header, and choose again should it have changed."""
        if all(one.offer.header is None for one in considered):
            considered = self._from_one_header(considered)
        for _ in range(_READINGS):
            index = self.judge.choose(considered).index
            if index is None or considered[index].offer.told in {Told.FILE, Told.HUB}:
                break
            own = self._with_own_header(considered[index].offer)
            considered[index] = self.consider(own)
            if own.told is not Told.HUB:
                break
        return considered

    def _from_one_header(self, considered: Sequence[Considered]) -> list[Considered]:
        """Let the first one's header stand for all, where the catalog knows too little."""
        first, *rest = (one.offer for one in considered)
        own = self._with_own_header(first)
        return [self.consider(own), *(self.consider(alike(o, own.header)) for o in rest)]

    def _with_own_header(self, offer: Offer) -> Offer:
        read = with_own_header if self.check is None else own_header
        return read(offer, self.remote)

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
        name = parse_repository_name(model, endpoint_of(self.desk.environment))
        if name is not None and name.quant is None:
            name = replace(name, quant=self.request.quant)
        wanted = model if name is None or name.file is not None else written(name)
        stored = self.desk.on_disk(wanted)
        if stored is not None:
            return [offer_of_file(stored)]
        if name is None or self.request.offline:
            return [offer_of_file(self.desk.find(wanted))]  # which says why not
        return offers_of_repository(self.remote, name, self.check)


def _of_none(profile: Profile, there: Sequence[Offer], quant: str | None) -> LocalLLMError:
    if quant is None:
        formats = dict.fromkeys(repository.format.value for repository in profile.repositories)
        return EngineUnusable(
            f"No engine here serves {profile.id}.",
            why=f"the catalog knows it in {', '.join(formats) or 'no format'}",
            fix="localllm engine list, which says what each engine lacks",
        )
    known = ", ".join(dict.fromkeys(o.quant for o in there if o.quant)) or "none"
    return ModelNotFound(
        f"{profile.id} is not known in {quant}.",
        why=f"the catalog knows it in {known}",
        fix=f"localllm plan {profile.id}, which shows them all",
    )


def deciding(
    desk: Desk,
    request: PlanRequest,
    *,
    reclaimable: Mapping[DeviceId, int] | None = None,
) -> Deciding:
    """Look at the machine, its engines and the user's own words about a question.

    Args:
        reclaimable: Bytes of each device here that instances of ours hold and would give back.

    Raises:
        LocalLLMError: No such machine or profile, or a broken one.
    """
    companions = desk.companions(request)
    request = desk.resolved(request)[0]
    seen, choices = _where(desk, request, reclaimable)
    judge = desk.judge(request, choices)
    budgets = desk.budgets(choices.first, seen.machine)
    profiles = desk.catalog()
    return Deciding(desk, request, judge, seen, choices, budgets, profiles, companions)


def _where(
    desk: Desk, request: PlanRequest, reclaimable: Mapping[DeviceId, int] | None
) -> tuple[Survey, Choices]:
    """This machine and the engines that run on it; of another, all that it has."""
    if request.hardware is not None:
        return desk.engine_desk.choices_for(describe_machine(request.hardware, desk.profiles))
    named = request.engine or request.model  # which may be a folder of safetensors
    seen = desk.survey(reclaimable, Format if named else LOCAL_FORMATS)
    return seen, desk.engine_desk.choices_or_say(seen, request)
