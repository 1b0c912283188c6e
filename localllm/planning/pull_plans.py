"""Plans a pull: from what a user asks for to the files that are fetched, chosen as `plan` chooses.

Nothing is fetched here but listings and headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from localllm.api.pull_views import PullRequest
from localllm.api.views import PlanRequest, ServeRequest
from localllm.catalog.facts import Use
from localllm.catalog.ladder import Advice
from localllm.errors import DoesNotFit, ModelNotFound, NoNetwork
from localllm.events import DeviceId
from localllm.fit.plan import Verdict
from localllm.formats.header import Format
from localllm.planning.considering import Considered
from localllm.planning.deciding import Deciding, deciding
from localllm.planning.decision import Decision
from localllm.planning.desk import Desk
from localllm.planning.hub_offers import look_up, own_header
from localllm.planning.offers import Offer
from localllm.planning.pull_names import served_by
from localllm.planning.pull_reasons import (
    does_not_fit,
    must_not_ask,
    naming_the_missing,
    none_chosen,
    reason_of,
    require_servable,
)
from localllm.store.access import endpoint_of, is_offline
from localllm.store.job import PullJob
from localllm.store.names import RepositoryName, is_repository, parse_repository_name
from localllm.store.needed import has_tokenizer, needed_files
from localllm.store.places import hub_cache
from localllm.store.remote import find_fetched
from localllm.store.repository import is_commit
from localllm.store.revisions import read_refs
from localllm.store.shared_cache import CachedRepository

Held = Mapping[DeviceId, int]
UseName = Literal["chat", "code", "embed", "vision"]


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What a pull brings, and what that is good for."""

    model: str
    """What serves it by, once it is here."""

    quant: str | None
    job: PullJob
    """Has no files where all are here."""

    reason: str
    """Why this one, and what it will take."""

    on_disk: bool
    size_bytes: int
    """That are still to come; files that have come in part count whole."""


def plan_pull(desk: Desk, request: PullRequest, *, reclaimable: Held | None = None) -> PullPlan:
    """Choose what is to be fetched; its hub is asked, unless it is here.

    Args:
        reclaimable: Bytes of each device here that instances of ours hold and would give back.

    Raises:
        DoesNotFit: It does not run here, and is not wanted all the same.
        NoNetwork: It is not here, and the hub cannot be asked, or refuses.
        LocalLLMError: There is no such model, or it is none that can be served.
    """
    offline = is_offline(desk.environment)
    said = {name: getattr(request, name) for name in ServeRequest.__struct_fields__}
    asked = deciding(desk, PlanRequest(**said, offline=offline), reclaimable=reclaimable)
    if asked.request.model is None:
        raise ModelNotFound(
            "No model was named.",
            why="a pull brings one model",
            fix="localllm plan shows what would run here, then: localllm pull NAME",
        )
    pull = _Pull(asked, asked.request.model, request.anyway)
    return pull.of_what_is_here() if offline else pull.of_the_choice()


def best_for(
    desk: Desk, use: UseName | None, *, reclaimable: Held | None = None
) -> PullPlan | None:
    """Plan the pull of the model of the catalog that `plan` marks; None where none runs well here.

    Raises:
        NoNetwork: It is not here, and the hub cannot be asked.
        LocalLLMError: See `plan_pull`.
    """
    if is_offline(desk.environment):
        raise must_not_ask("A model for this machine")
    asked = deciding(desk, PlanRequest(use=use), reclaimable=reclaimable)
    best = asked.decide().chosen
    if best is None or best.plan is None or best.plan.verdict is not Verdict.FITS:
        return None
    if not asked.judge.is_useful(best):
        return None
    model = best.offer.model
    named = replace(asked, request=PlanRequest(model=model, use=use))
    try:
        return _Pull(named, model, anyway=False).of_the_choice()
    except DoesNotFit:  # its own header says more than the catalog
        return None


@dataclass(frozen=True, slots=True)
class _Pull:
    """One model that is asked for."""

    asked: Deciding
    model: str
    anyway: bool

    def of_the_choice(self) -> PullPlan:
        """Take what `plan` marks."""
        check = _let_through if self.anyway else require_servable(self.asked)
        with naming_the_missing(self._wanted):
            decision = replace(self.asked, check=check).decide()
            one = decision.chosen or self._unchosen(decision)
            if not one.offer.on_disk:
                return self._fetch(self._sure(one), decision)
        lacking = self._lacking(one.offer)
        if lacking is None:
            return self._here(one, decision)
        with naming_the_missing(lacking):
            return self._rest(one, decision)

    def of_what_is_here(self) -> PullPlan:
        """Where no hub may be asked, any quantization will do that is here and was not excluded."""
        try:
            decision = self.asked.decide()
        except ModelNotFound as error:
            if self._name is None:
                raise
            raise must_not_ask(self._wanted, error.why) from error
        here = [one for one in decision.considered if one.offer.on_disk]
        if not here:
            raise must_not_ask(self._wanted)
        return self._here(here[self.asked.judge.choose(here).index or 0], decision)

    def _unchosen(self, decision: Decision) -> Considered:
        """What to take where the judge takes nothing: what is here, or what is wanted anyway."""
        here = [one for one in decision.considered if one.offer.on_disk]
        if here:
            return here[0]
        if self.anyway:
            return self._nearest(decision)
        raise none_chosen(self.model, decision, self.asked)

    def _nearest(self, decision: Decision) -> Considered:
        """The smallest, but none that loses too much to be taken unasked, or that nothing serves."""
        judge = self.asked.judge

        def order(one: Considered) -> tuple[bool, bool, int]:
            offer = one.offer
            rung = None if offer.quant is None else judge.ladder.rung(offer.quant)
            poor = rung is not None and rung.advice is Advice.ON_REQUEST
            return offer.format not in judge.formats, poor, offer.size_bytes or 1 << 62

        return min(decision.considered, key=order)

    def _sure(self, one: Considered) -> Considered:
        """Look at it once more, with its own header.

        Raises:
            DoesNotFit: It does not run here after all.
        """
        offer = own_header(one.offer, self.asked.remote)
        return one if offer is one.offer else self._planned(offer)

    def _planned(self, offer: Offer) -> Considered:
        sure = self.asked.consider(offer)
        fits = sure.plan is not None and sure.plan.verdict is not Verdict.TOO_BIG
        if not fits and not self.anyway:
            raise does_not_fit(self.model, [sure], self.asked)
        return sure

    def _lacking(self, offer: Offer) -> str | None:
        """What a model that is here cannot be served without as it is asked for."""
        stored = offer.stored
        if stored is None or stored.repo is None or not is_repository(stored.repo):
            return None
        if stored.format is not Format.GGUF:
            names = [file.name for file in stored.file.iterdir()]
            return None if has_tokenizer(names) else f"The tokenizer of {self.model}"
        blind = self._wants_to_see and stored.projector is None
        return f"What {self.model} would see with" if blind else None

    def _rest(self, one: Considered, decision: Decision) -> PullPlan:
        """Fetch what is lacking of a model that is here, if its hub has it."""
        revision = None if self._name is None else self._name.revision
        offer = replace(one.offer, revision=revision)
        listed = look_up(offer, self.asked.remote)
        if listed.projector is None and offer.format is Format.GGUF:
            return self._here(one, decision)
        projector_bytes = 0 if listed.projector is None else listed.projector.size_bytes
        offer = replace(offer, listed=listed, projector_bytes=projector_bytes)
        return self._fetch(self._planned(offer), decision)

    def _fetch(self, one: Considered, decision: Decision) -> PullPlan:
        offer, listed = one.offer, one.offer.listed
        assert listed is not None, "its header was read there"
        assert offer.repo is not None, "its header was read there"
        repository = replace(listed.repository, name=offer.repo)
        projector = listed.projector if self._wants_to_see else None
        files = needed_files(repository, listed.found, projector)
        ref = None if is_commit(offer.revision) else offer.revision or "main"
        job = PullJob(offer.repo, repository.commit, files, ref)
        shared = hub_cache(self.asked.desk.environment)
        lacking = [file for file in files if find_fetched(shared, repository, file) is None]
        if lacking and repository.not_fresh is not None:
            raise NoNetwork("its hub cannot be asked.", why=repository.not_fresh, fix=_CONNECT)
        here = not lacking and _is_linked(job, shared)
        return PullPlan(
            served_by(offer, self.model, self._name),
            offer.quant,
            replace(job, files=()) if here else job,
            self._reason(one, decision),
            here,
            sum(file.size_bytes for file in lacking),
        )

    def _here(self, one: Considered, decision: Decision) -> PullPlan:
        offer = one.offer
        return PullPlan(
            served_by(offer, self.model, self._name),
            offer.quant,
            PullJob(offer.repo or "", "", ()),
            self._reason(one, decision),
            on_disk=True,
            size_bytes=0,
        )

    def _reason(self, one: Considered, decision: Decision) -> str:
        reason, offer = reason_of(one, decision, self.asked.judge), one.offer
        is_blind = self._wants_to_see and not offer.projector_bytes
        return f"{reason} It has no projector: it sees nothing." if is_blind else reason

    @property
    def _name(self) -> RepositoryName | None:
        """Where it is on a hub; None for a path, and for a name of the catalog."""
        name = parse_repository_name(self.model, endpoint_of(self.asked.desk.environment))
        if name is None or name.quant is not None:
            return name
        return replace(name, quant=self.asked.request.quant)

    @property
    def _wanted(self) -> str:
        return " ".join(filter(None, (self.model, self.asked.request.quant)))

    @property
    def _wants_to_see(self) -> bool:
        return self.asked.judge.use is Use.VISION


_CONNECT = "connect to the network, or choose a model that is on this disk: localllm ls"


def _let_through(*_: object) -> None:
    """Whatever it is, it is wanted."""


def _is_linked(job: PullJob, shared: Path) -> bool:
    """Whether its commit has all of the files, and is what the branch or tag means here."""
    cached = CachedRepository(shared, job.repo)
    if not all(cached.snapshot(job.commit, file.path).exists() for file in job.files):
        return False
    return job.ref is None or read_refs(cached).get(job.ref) == job.commit
