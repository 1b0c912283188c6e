"""Sees to what a model looks at images with, where images are wanted and the model itself is here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from localllm.api.sync_client import DaemonClient
from localllm.api.views import ServeRequest
from localllm.cli.conventions import say
from localllm.cli.fetching import Declined, as_pulled, fetch_planned
from localllm.cli.outside import not_fetched
from localllm.cli.permission import Permission
from localllm.cli.pulling import a_desk, plan_here, pull_request
from localllm.errors import LocalLLMError, ModelNotFound, NoNetwork, NoSpace
from localllm.paths import Paths
from localllm.wording.plain import plain

if TYPE_CHECKING:  # heavy
    from localllm.planning.desk import Desk
    from localllm.planning.pull_plans import PullPlan

_VISION = "vision"


def see_to_images(
    client: DaemonClient | None, paths: Paths, wanted: ServeRequest, may: Permission
) -> ServeRequest:
    """Fetch the projector of a model that is here without it; say so where it cannot be had.

    A model that is not here is left alone: its projector comes with it.

    Raises:
        LocalLLMError: As `fetch_planned`, but for what only the projector is to blame for.
    """
    if wanted.use not in {None, _VISION} or (wanted.use is None and wanted.profile is None):
        return wanted
    desk = a_desk(paths, offline=True)
    asked, _ = desk.resolved(wanted)
    if asked.use != _VISION or asked.model is None:
        return wanted
    try:
        here = plan_here(desk, pull_request(wanted))
    except LocalLLMError:  # it is not here, or the daemon says what is wrong with it
        return wanted
    if not _is_blind(desk, asked, here):
        return wanted
    named = as_pulled(wanted, here)
    try:
        return _with_projector(client, paths, named, may)
    except (Declined, ModelNotFound, NoNetwork, NoSpace) as error:
        say(plain(f"{named.model} serves no images: its projector is not here, and {error.why}"))
        return wanted


def _with_projector(
    client: DaemonClient | None, paths: Paths, wanted: ServeRequest, may: Permission
) -> ServeRequest:
    """Fetch what lacks of exactly this one.

    Raises:
        ModelNotFound: Nobody has a projector for it, or nobody can be asked.
        LocalLLMError: It cannot be had.
    """
    if may.offline:
        raise not_fetched("Its projector", os.environ)
    desk = a_desk(paths)
    plan = plan_here(desk, pull_request(wanted, anyway=True))  # it is here, whether it fits or not
    if plan.on_disk:
        raise ModelNotFound("It has none.", why="no projector of it is known", fix="another model")
    return fetch_planned(client, desk, plan, wanted, may).wanted


def _is_blind(desk: Desk, asked: ServeRequest, here: PullPlan) -> bool:
    """Whether the GGUF that is here has nothing to see with."""
    from localllm.formats.header import Format  # noqa: PLC0415  # only where images are wanted

    profile = desk.profile(asked.model)
    if profile is None:
        stored = desk.on_disk(here.model)
    else:
        offers = desk.offers(profile, desk.ladder())
        stored = next((o.stored for o in offers if o.on_disk and o.is_quant(here.quant)), None)
    return stored is not None and stored.format is Format.GGUF and stored.projector is None
