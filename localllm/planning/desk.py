"""Answers 'what would run here' for the CLI and the daemon alike: one desk, with or without a daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from localllm.api.views import ServeRequest
from localllm.catalog.ladder import Ladder, read_ladder
from localllm.catalog.profile import Profile, read_profiles
from localllm.config import Settings
from localllm.engines.base import Engine
from localllm.engines.llama_server import LlamaServer
from localllm.engines.xllamacpp import Xllamacpp
from localllm.errors import EngineUnusable, LocalLLMError, ModelNotFound
from localllm.events import DeviceId
from localllm.fit.plan import Budget, Wish
from localllm.hardware.machine import Machine
from localllm.hardware.probe import probe_machine
from localllm.paths import Paths
from localllm.planning.choice import Choice, choose_engine
from localllm.planning.considering import Judge
from localllm.planning.offers import Offer, offer_of_file, offers_of_profile
from localllm.planning.planner import Planned, budgets_of, plan_model
from localllm.planning.survey import Survey, survey
from localllm.planning.uses import NEEDS, use_of
from localllm.store.headers import read_header
from localllm.store.local import find_model
from localllm.store.places import folders_of
from localllm.store.stored import StoredModel

Held = Mapping[DeviceId, int]


@dataclass(frozen=True, slots=True)
class Desk:
    """Settings, places and environment, which every answer depends on."""

    settings: Settings
    paths: Paths
    environment: Mapping[str, str]
    profiles: Path

    def engines(self, environment: Mapping[str, str]) -> Sequence[Engine]:
        """All that this version knows, the preferred first."""
        return (Xllamacpp(environment), LlamaServer(self.settings.llama_server, environment))

    def probe(self) -> Machine:
        """Ask the drivers alone: quick, and often enough."""
        return probe_machine(environment=self.environment, profiles=self.profiles)

    def survey(self) -> Survey:
        """Ask the drivers and every engine."""
        return survey(self.probe(), self.engines, self.environment)

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
        offers = self._here(request)
        seen = self.survey()
        choice = self.choose(seen, request)
        stored = self._best(offers, request, budgets_of(choice, seen.machine, reclaimable or {}))
        header, wish = read_header(stored.file), wish_of(request)
        return plan_model(stored, header, choice, seen, wish, reclaimable=reclaimable)

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
            name = f"{name}:{quant}"  # of a repository; a path with it is none
        return [offer_of_file(self.find(name), profile)]

    def _best(
        self, offers: Sequence[Offer], request: ServeRequest, budgets: Sequence[Budget]
    ) -> StoredModel:
        use = use_of(request.use)
        judge = Judge(use, NEEDS[use], self.ladder(), asked_quant=request.quant)
        considered = [judge.consider(o, budgets, wish_of(request)) for o in offers]
        stored = offers[judge.choose(considered).index or 0].stored
        assert stored is not None
        profile = offers[0].profile
        return (
            stored if profile is None else replace(stored, id=profile.id, aliases=profile.aliases)
        )

    def choose(self, seen: Survey, request: ServeRequest) -> Choice:
        """Choose the engine.

        Raises:
            EngineUnusable: There is an accelerator and no engine that can use it, or no engine.
        """
        wanted = request.engine or self.settings.engine
        allow_cpu = request.allow_cpu or self.settings.allow_cpu
        return choose_engine(seen, wanted, allow_cpu=allow_cpu)

    def choose_or_say(self, seen: Survey, request: ServeRequest) -> tuple[Choice, str | None]:
        """Choose, or plan for the accelerator all the same and say that no engine reaches it."""
        try:
            return self.choose(seen, request), None
        except EngineUnusable as error:
            accelerators = seen.machine.accelerators()
            return Choice(seen.engines[0], accelerators), f"{error.what} {error.fix}."

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


def wish_of(request: ServeRequest) -> Wish:
    """What the user asked for, as the formulas take it."""
    return Wish(
        context=request.context,
        parallel=request.parallel,
        kv_type=request.kv_type,
        goal=NEEDS[use_of(request.use)].context,
    )
