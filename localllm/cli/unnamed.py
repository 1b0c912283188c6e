"""What `up` serves where nobody names a model: what was served before, the best one, the stand-in."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from localllm.api.chosen import chosen
from localllm.api.sync_client import DaemonClient
from localllm.api.views import CandidateView, PlanRequest, PlanView, ServeReply, ServeRequest
from localllm.cli.conventions import say
from localllm.cli.outside import is_offline, why_no_hub
from localllm.cli.permission import Permission
from localllm.cli.pulling import a_desk, headline, plan_here, pull_request
from localllm.errors import LocalLLMError
from localllm.paths import Paths, bundled_profiles
from localllm.wording.plain import plain

if TYPE_CHECKING:  # heavy
    from localllm.planning.desk import Desk
    from localllm.planning.pull_plans import PullPlan

STAND_IN = "no model named: serving SmolLM2-135M-Instruct, a small stand-in that needs no model hub"


@dataclass(frozen=True, slots=True)
class Named:
    """What is to be served."""

    wanted: ServeRequest
    plan: PullPlan | None = None
    """Of the best one for this machine, which nobody named: where it cannot be had, the stand-in
    is served."""

    reply: ServeReply | None = None
    """It is on its way already."""

    why_not: str | None = None
    """Why it is the stand-in."""

    better: str | None = None
    """What would be better; None: nobody knows."""

    def say_stand_in(self) -> None:
        """Say that it is the stand-in, and what to do about it."""
        say(STAND_IN)
        if self.why_not is not None:
            say(f"  why: {self.why_not}")
        better = "" if self.better is None else f"localllm up {self.better} --yes, or another: "
        say(
            f"  for a better one: {better}localllm plan shows what runs here, localllm up MODEL takes it"
        )


class _Serving(msgspec.Struct):
    """What is read of the file of what to serve again: whether there is anything."""

    serving: list[msgspec.Raw] = []


def name_one(
    client: DaemonClient | None, paths: Paths, wanted: ServeRequest, may: Permission
) -> Named:
    """Choose a model where none is named and none is remembered; it may have to be fetched."""
    is_said = wanted.model is not None or wanted.profile is not None or remembers(paths)
    if is_said or (client is not None and client.models()):
        return Named(wanted)
    unasked = _why_not_asked(may)
    if unasked is not None:
        return _from_the_catalog(client, paths, wanted, unasked)
    return _from_the_hub(paths, wanted)


def _from_the_hub(paths: Paths, wanted: ServeRequest) -> Named:
    try:
        plan = _best(a_desk(paths), wanted)
    except LocalLLMError as error:
        return Named(wanted, why_not=plain(f"{error.what} ({error.why})"))
    if plan is None or is_stand_in(paths, plan.model):
        return Named(wanted)
    chosen = msgspec.structs.replace(wanted, model=plan.model, quant=None)
    if plan.on_disk:
        return Named(chosen)
    say("no model named: this is the best one for this machine; else a small stand-in is served")
    return Named(chosen, plan)


def _best(desk: Desk, wanted: ServeRequest) -> PullPlan | None:
    """The model of the catalog that serves best here, asked of its hub; None: there is none."""
    from localllm.planning.pull_plans import best_for  # noqa: PLC0415  # heavy

    plan = best_for(desk, wanted.use)
    if plan is None or plan.on_disk or wanted == ServeRequest(use=wanted.use):
        return plan
    return plan_here(desk, pull_request(msgspec.structs.replace(wanted, model=plan.model)))


def _from_the_catalog(
    client: DaemonClient | None, paths: Paths, wanted: ServeRequest, unasked: str
) -> Named:
    """Choose without a hub: what is on disk, if it is the best; else say what would be better."""
    said = {name: getattr(wanted, name) for name in ServeRequest.__struct_fields__}
    try:
        best = chosen(_plan(client, paths, PlanRequest(**said, offline=True)))
    except LocalLLMError:  # the stand-in meets the same one, and says so
        return Named(wanted)
    if best is None or is_stand_in(paths, best.model):
        return Named(wanted)
    if best.on_disk:
        return Named(msgspec.structs.replace(wanted, model=best.model, quant=best.quant))
    why_not = f"{unasked}; the best for this machine would be {_told(best)}"
    return Named(wanted, why_not=why_not, better=plain(best.model))


def remembers(paths: Paths) -> bool:
    """Whether a daemon has something to serve again."""
    try:
        return bool(msgspec.json.decode(paths.serving.read_bytes(), type=_Serving).serving)
    except (OSError, msgspec.DecodeError):
        return False


def _why_not_asked(may: Permission) -> str | None:
    """Why no question about a download can be put; None: it can."""
    if is_offline(os.environ, asked=may.offline):
        return "nothing may be fetched"
    if not may.yes and not sys.stdin.isatty():
        return "nobody can be asked here about a download, and --yes was not given"
    return why_no_hub(os.environ)


def _plan(client: DaemonClient | None, paths: Paths, request: PlanRequest) -> PlanView:
    if client is not None:
        return client.plan(request)
    from localllm.planning.showing import show_plan  # noqa: PLC0415  # heavy

    return show_plan(a_desk(paths, offline=request.offline), request)


def is_stand_in(paths: Paths, model: str) -> bool:
    """Whether a name is that of the model that needs no hub."""
    from localllm.catalog.profile import read_profiles  # noqa: PLC0415  # rarely needed

    catalog = read_profiles(bundled_profiles(), paths.config_file.parent)
    named = {model, model.rpartition(":")[0]}
    return any(p.embedded is not None and any(map(p.answers_to, named)) for p in catalog)


def _told(best: CandidateView) -> str:
    size_bytes = best.source.size or 0
    return plain(headline(best.model, best.quant, size_bytes, best.source.repo or "its hub"))
