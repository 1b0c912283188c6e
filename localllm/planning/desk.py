"""Answers 'what would run here' for the CLI and the daemon alike: one desk, with or without a daemon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from localllm.api.views import ServeRequest
from localllm.catalog.ladder import Ladder, read_ladder
from localllm.catalog.profile import Profile, read_profiles
from localllm.config.current import Current
from localllm.config.settings import Settings
from localllm.engines.base import Sampling
from localllm.engines.extras import require_able
from localllm.errors import LocalLLMError, ModelNotFound
from localllm.events import DeviceId
from localllm.fit.plan import Budget, Plan
from localllm.formats.header import Format
from localllm.hardware.machine import Machine
from localllm.hardware.probe import probe_machine
from localllm.paths import Paths
from localllm.planning.choice import Choice
from localllm.planning.companions import (
    NO_COMPANIONS,
    Companions,
    extras_of,
    read_companions,
)
from localllm.planning.considering import Judge
from localllm.planning.engine_desk import Choices, EngineDesk
from localllm.planning.ledger import (
    Setting,
    best_known,
    corrected,
    excess_bytes,
    read_ledger,
)
from localllm.planning.offers import Offer, offer_of_file, offers_of_profile
from localllm.planning.planner import Planned, budgets_of, giving_back, plan_model
from localllm.planning.survey import Survey, survey
from localllm.planning.tasks import task_of
from localllm.planning.uses import NEEDS, use_of
from localllm.planning.wishes import whole_wish, wish_of
from localllm.store.access import endpoint_of
from localllm.store.contents import quantization_of
from localllm.store.local import find_model
from localllm.store.names import with_quant
from localllm.store.places import folders_of
from localllm.store.stored import StoredModel
from localllm.units import MIB
from localllm.user_profiles import UserProfile

Request = TypeVar("Request", bound=ServeRequest)
Held = Mapping[DeviceId, int]
_OF_BOTH = ("model", "use", "context", "parallel", "quant", "kv_type", "engine", "keep_alive")
"""What a request may say and a profile of the user's own."""

LOCAL_FORMATS = (Format.GGUF, Format.MLX)
"""Those that the catalog lists, and whose engines answer quickly."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Settings, places and environment, which every answer depends on."""

    current: Current
    paths: Paths
    environment: Mapping[str, str]
    profiles: Path

    @property
    def settings(self) -> Settings:
        """As they are now: a daemon's may change."""
        return self.current()

    def as_now(self) -> Self:
        """The same desk with the settings of this moment, for an answer that takes a while."""
        return replace(self, current=Current(self.current.loaded))

    @property
    def engine_desk(self) -> EngineDesk:
        return EngineDesk(self.settings, self.paths, self.environment, self.profiles)

    def probe(self) -> Machine:
        """Ask the drivers alone: quick, and often enough."""
        return probe_machine(environment=self.environment, profiles=self.profiles)

    def survey(self, held: Held | None = None, formats: Iterable[Format] = LOCAL_FORMATS) -> Survey:
        """Ask the drivers and the engines; what our own instances hold counts as usable.

        Args:
            formats: Of engines that serve one of them; those for safetensors take seconds to
                answer, since they import PyTorch.
        """
        asked = frozenset(formats)
        seen = survey(
            self.probe(),
            lambda env: [e for e in self.engine_desk.engines(env) if e.formats & asked],
            self.environment,
        )
        return replace(seen, machine=giving_back(seen.machine, held or {}))

    def find(self, model: str | None) -> StoredModel:
        """Find a model on disk; None is the embedded default.

        Raises:
            ModelNotFound: It is not there.
        """
        profiles = self.catalog()
        if model is None:
            embedded = [p.id for p in profiles if p.embedded is not None]
            found = find_model(embedded[0], profiles, self.paths.data, self.environment)
            return replace(found, stand_in=True)
        return find_model(model, profiles, self.paths.data, self.environment)

    def plan(self, request: ServeRequest, *, reclaimable: Held | None = None) -> Planned:
        """Plan what is to be served.

        Raises:
            LocalLLMError: No such model, a broken file, no engine. A plan that does not
                fit is returned.
        """
        request, sampling = self.resolved(request)
        companions = self.companions(request)
        offers = self._here(request)
        formats = dict.fromkeys(offer.format for offer in offers)
        named = request.engine or self.settings.engine
        seen = self.survey(reclaimable, Format if named else [*LOCAL_FORMATS, *formats])
        choices = self.engine_desk.choices(seen, request, formats)
        offer = self._best([o for o in offers if o.format in choices.of], request, choices, seen)
        choice = choices.of[offer.format]
        budgets = self.budgets(choice, seen.machine)
        stored, header = offer.to_serve(), offer.header
        assert header is not None, "a file that is here has one"
        companions.check(header)
        task = task_of(header, request.use, companions.pooling)
        require_able(choice.installed, companions.extras | extras_of(task))
        wish = whole_wish(request, offer, companions, task)
        if choice.installed.most_at_once is not None:
            wish = replace(wish, parallel=min(wish.parallel or 64, choice.installed.most_at_once))
        first = plan_model(stored, header, choice, seen, budgets, wish)
        planned = replace(
            first, sampling=_over(sampling, offer.profile), task=task, companions=companions
        )
        excess = self.excess_bytes(planned.setting)
        if excess:
            less = [replace(b, usable_bytes=max(0, b.usable_bytes - excess)) for b in budgets]
            again = plan_model(stored, header, choice, seen, less, wish)
            planned = replace(planned, plan=again.plan, budget=again.budget)
        return replace(planned, plan=self.measured(planned.plan, planned.setting))

    def excess_bytes(self, setting: Setting) -> int:
        """What an earlier start of a plan took beyond what was predicted."""
        return excess_bytes(best_known(read_ledger(self.paths.ledger), setting), setting)

    def measured(self, plan: Plan, setting: Setting) -> Plan:
        """A plan with what an earlier start of it has measured, if there was one."""
        return corrected(plan, best_known(read_ledger(self.paths.ledger), setting))

    def companions(self, request: ServeRequest) -> Companions:
        """What the user's profile puts beside a model.

        Raises:
            LocalLLMError: One of them is not here, or broken.
        """
        if request.profile is None:
            return NO_COMPANIONS
        return read_companions(self._user_profile(request.profile), self._smallest)

    def _smallest(self, name: str) -> StoredModel:
        """Of a model that is here in several quantizations, the one that a draft should be."""
        offers = self._here(self._by_name(ServeRequest(model=name)))
        return min(offers, key=lambda offer: offer.size_bytes or 0).to_serve()

    def _user_profile(self, name: str) -> UserProfile:
        return self.settings.profile(name, self.paths.config_file)

    def long_context(self, request: ServeRequest) -> int | None:
        """Tokens of a second instance for long prompts; None where the profile wants none."""
        if request.profile is None:
            return None
        return self._user_profile(request.profile).long_context

    def check_before(self, request: ServeRequest) -> str:
        """Say how a model is examined before it takes over: off, quick or full."""
        return "off" if request.profile is None else self._user_profile(request.profile).check

    def resolved(self, request: Request) -> tuple[Request, Sampling]:
        """Put what the request says over the user's profile that it names.

        Raises:
            ModelNotFound: There is no such profile.
        """
        if request.profile is None:
            return self._by_name(request), Sampling()
        profile = self._user_profile(request.profile)
        said = {name: getattr(request, name) or getattr(profile, name) for name in _OF_BOTH}
        own = profile.sampling
        sampling = Sampling(own.temperature, own.top_p, own.top_k, own.min_p)
        return self._by_name(msgspec.structs.replace(request, **said)), sampling

    def _by_name(self, request: Request) -> Request:
        """Take a quantization behind a catalog name, as in `qwen3-8b:Q4_K_M`, for `--quant`."""
        name, _, quant = (request.model or "").rpartition(":")
        if not name or self.profile(request.model) or not self.profile(name):
            return request
        if quantization_of(quant) is None and self.on_disk(request.model or "") is not None:
            return request  # as in smollm2:135m, which Ollama has
        return msgspec.structs.replace(request, model=name, quant=request.quant or quant)

    def budgets(self, choice: Choice, machine: Machine) -> Sequence[Budget]:
        """What may be spent, less what the user wants kept free."""
        return budgets_of(choice, machine, reserve_bytes=self.settings.plan.reserve_mib * MIB)

    def budgets_now(self, served: Sequence[Planned], held: Held) -> Mapping[DeviceId, int]:
        """Look what all that is served may take of each device that a driver tells of.

        Args:
            held: What it holds of each; that, too, may be taken.
        """
        machine = giving_back(self.probe(), held)
        here = {device.id: device for device in machine.devices}
        found: dict[DeviceId, int] = {}
        for planned in served:
            devices = tuple(here[d.id] for d in planned.choice.devices if d.id in here)
            choice = replace(planned.choice, devices=devices, seen=())
            found.update((b.device, b.usable_bytes) for b in self.budgets(choice, machine))
        return found

    def judge(self, request: ServeRequest, choices: Choices) -> Judge:
        """What offers are judged by: the use's needs, and the user's own words over them."""
        use = use_of(request.use)
        floor = getattr(self.settings.plan.min_tps, use.value)
        need = NEEDS[use] if floor is None else replace(NEEDS[use], least_tps=floor)
        return Judge(
            use,
            need,
            self.ladder(),
            self.settings.plan.ranking,
            request.quant,
            request.context,
            frozenset(choices.of),
        )

    def _here(self, request: ServeRequest) -> Sequence[Offer]:
        """The files that may be meant: several, where a model is here in several quantizations.

        Raises:
            ModelNotFound: There is none.
        """
        profile = self.profile(request.model)
        if profile is not None:
            offers = [o for o in self.offers(profile, self.ladder()) if o.on_disk]
            if here := [o for o in offers if o.is_quant(request.quant)]:
                return here
        name, quant = request.model, request.quant
        if name is not None and quant is not None and profile is None:
            name = with_quant(name, quant, endpoint_of(self.environment))
        return [offer_of_file(self.find(name), profile)]

    def smaller_quant(self, request: ServeRequest, file_bytes: int) -> str | None:
        """Find the largest quantization that is here and smaller than one of so many bytes."""
        request, _ = self.resolved(request)
        try:
            here = self._here(msgspec.structs.replace(request, quant=None))
        except ModelNotFound:
            return None
        smaller = [o for o in here if o.quant is not None and (o.size_bytes or 0) < file_bytes]
        return max(smaller, key=lambda o: o.size_bytes or 0).quant if smaller else None

    def _best(
        self, offers: Sequence[Offer], request: ServeRequest, choices: Choices, seen: Survey
    ) -> Offer:
        if len(offers) == 1:
            return offers[0]
        judge, wish = self.judge(request, choices), wish_of(request)
        considered = [
            judge.consider(o, self.budgets(choices.of[o.format], seen.machine), wish)
            for o in offers
        ]
        return offers[judge.choose(considered).index or 0]

    def catalog(self) -> Sequence[Profile]:
        """All models that are known by name, the user's own among them."""
        return read_profiles(self.profiles, self.paths.config_file.parent)

    def profile(self, name: str | None) -> Profile | None:
        """Find a model of the catalog by one of its names."""
        if name is None:
            return None
        return next((p for p in self.catalog() if p.answers_to(name)), None)

    def ladder(self) -> Ladder:
        """How good each quantization is."""
        return read_ladder(self.profiles)

    def offers(self, profile: Profile, ladder: Ladder) -> Sequence[Offer]:
        """Every quantization of a model of the catalog, the best quality first."""
        repositories = (repository.repo for repository in profile.repositories)
        here = any(folders_of(name, self.environment) for name in repositories)
        offers = offers_of_profile(profile, ladder, self.on_disk if here else lambda _: None)
        embedded = self._embedded(profile)
        if embedded is None:
            return offers
        return [*(o for o in offers if not o.is_quant(embedded.quant)), embedded]

    def _embedded(self, profile: Profile) -> Offer | None:
        """The file that travels in a package, if it is here."""
        if profile.embedded is None:
            return None
        try:
            stored = find_model(profile.id, (profile,), self.paths.data, self.environment)
        except ModelNotFound:
            return None
        return offer_of_file(stored, profile)

    def on_disk(self, name: str) -> StoredModel | None:
        """Find a model on this disk, if it is there."""
        try:
            return find_model(name, (), self.paths.data, self.environment)
        except LocalLLMError:
            return None


def _over(said: Sampling, profile: Profile | None) -> Sampling:
    """What the user says, and where they say nothing what the model's makers recommend."""
    theirs = None if profile is None else profile.sampling
    if theirs is None:
        return said
    return Sampling(
        theirs.temperature if said.temperature is None else said.temperature,
        theirs.top_p if said.top_p is None else said.top_p,
        theirs.top_k if said.top_k is None else said.top_k,
        theirs.min_p if said.min_p is None else said.min_p,
    )
