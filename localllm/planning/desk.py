"""Answers 'what would run here' for the CLI and the daemon alike: one desk, with or without a daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from localllm.api.views import PlanView, ServeRequest
from localllm.catalog.profile import read_profiles
from localllm.config import Settings
from localllm.engines.base import Engine
from localllm.engines.llama_server import LlamaServer
from localllm.engines.xllamacpp import Xllamacpp
from localllm.errors import EngineUnusable, ModelNotFound
from localllm.events import DeviceId
from localllm.fit.plan import Verdict, Wish
from localllm.hardware.machine import Machine
from localllm.hardware.probe import probe_machine
from localllm.paths import Paths
from localllm.planning.choice import Choice, choose_engine
from localllm.planning.planner import Planned, plan_model
from localllm.planning.survey import Survey, survey
from localllm.planning.views import render_candidate, render_machine, render_model
from localllm.store.headers import read_header
from localllm.store.local import find_model
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
        profiles = read_profiles(self.profiles)
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
        stored = self.find(request.model)
        header = read_header(stored.file)
        seen = self.survey()
        choice = self._choose(seen, request)
        wish = Wish(context=request.context, parallel=request.parallel)
        return plan_model(stored, header, choice, seen, wish, reclaimable=reclaimable)

    def show_plan(
        self, request: ServeRequest, use: str, *, reclaimable: Held | None = None
    ) -> PlanView:
        """Plan one model, or each of the catalog that is on disk, as a document."""
        seen = self.survey()
        stored = [self.find(request.model)] if request.model else self._all_on_disk()
        headers = [read_header(one.file) for one in stored]
        choice, caveat = self._choose_or_say(seen, request)
        wish = Wish(context=request.context, parallel=request.parallel)
        plans = [
            plan_model(one, header, choice, seen, wish, reclaimable=reclaimable)
            for one, header in zip(stored, headers, strict=True)
        ]
        engine = None if caveat else choice.installed.engine
        fits = [i for i, p in enumerate(plans) if p.plan.verdict is not Verdict.TOO_BIG]
        return PlanView(
            hardware=render_machine(seen.machine),
            model=render_model(plans[0]) if request.model else None,
            use=use,
            choice=fits[0] if fits and engine else None,
            candidates=[render_candidate(p, engine=engine, caveat=caveat) for p in plans],
        )

    def _choose(self, seen: Survey, request: ServeRequest) -> Choice:
        wanted = request.engine or self.settings.engine
        allow_cpu = request.allow_cpu or self.settings.allow_cpu
        return choose_engine(seen, wanted, allow_cpu=allow_cpu)

    def _choose_or_say(self, seen: Survey, request: ServeRequest) -> tuple[Choice, str | None]:
        """Choose, or plan for the accelerator all the same and say that no engine reaches it."""
        try:
            return self._choose(seen, request), None
        except EngineUnusable as error:
            accelerators = seen.machine.accelerators()
            device = accelerators[0] if accelerators else None
            return Choice(seen.engines[0], device), f"{error.what} {error.fix}."

    def _all_on_disk(self) -> list[StoredModel]:
        found: list[StoredModel] = []
        missing: ModelNotFound | None = None
        for profile in read_profiles(self.profiles):
            try:
                found.append(self.find(profile.id))
            except ModelNotFound as error:
                missing = error
        if not found and missing is not None:
            raise missing
        return found
