"""Brings a model to this disk, as `pull`, `up`, `switch` and `run` do: by the daemon, or in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from localllm.api.pull_views import PullRequest, PullView, ThenHow
from localllm.api.sync_client import DaemonClient, connect
from localllm.api.views import ServeRequest, View
from localllm.cli.conventions import allow_tls, say
from localllm.cli.outside import offline_environment
from localllm.cli.pull_progress import Display, Framing
from localllm.cli.unfinished import UNDER_WAY, is_about_to_be_served
from localllm.errors import LocalLLMError, NoNetwork, NotReady, NotRunning, error_of
from localllm.paths import Paths, bundled_profiles
from localllm.units import MIB, size
from localllm.wording.plain import plain

if TYPE_CHECKING:  # heavy
    from localllm.planning.desk import Desk
    from localllm.planning.pull_plans import PullPlan

_LOOK_EVERY_S, _LOOK_SOON_S = 0.5, 0.1
_NEARLY_S = 2.0
"""An end that is so near is waited for more closely: serving begins with it."""


class DaemonEnded(LocalLLMError):
    """The daemon was told to end, or has crashed, while it pulled: another one is not wanted."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A pull of the daemon's."""

    view: PullView
    is_ours: bool
    """It was not under way before this command asked for it."""


class PulledView(View, frozen=True, kw_only=True):
    """What `pull --json` prints."""

    model: str
    """What serves it."""

    quant: str | None
    repo: str | None = None
    commit: str | None = None
    path: str | None = None
    """The first file of a GGUF, else the folder."""

    size: int | None = None
    """Of all its files."""

    already: bool
    """It was here before."""


def a_desk(paths: Paths, *, offline: bool = False) -> Desk:
    """The desk of this user, without a daemon.

    Args:
        offline: It asks no hub.
    """
    allow_tls()  # a hub may be asked
    from localllm.config.current import read_current  # noqa: PLC0415  # heavy: only without a daemon
    from localllm.planning.desk import Desk  # noqa: PLC0415

    current = read_current(paths.config_file, os.environ)
    environment = offline_environment(os.environ) if offline else dict(os.environ)
    return Desk(current, paths, environment, bundled_profiles())


def pull_request(
    wanted: ServeRequest, *, anyway: bool = False, then: ThenHow | None = None
) -> PullRequest:
    """Ask for the files of what is to be served; with `then`, the daemon serves it once they are here."""
    said = {name: getattr(wanted, name) for name in ServeRequest.__struct_fields__}
    return PullRequest(**said, anyway=anyway, then=then)


def plan_here(desk: Desk, request: PullRequest) -> PullPlan:
    """Find out what is to be fetched; see planning/pull_plans.py."""
    from localllm.planning.pull_plans import plan_pull  # noqa: PLC0415  # heavy

    return plan_pull(desk, request)


def plan_beside(client: DaemonClient | None, desk: Desk, request: PullRequest) -> PullPlan:
    """Plan it here, but with the daemon's choice where it serves something: it knows what that gives back."""
    if client is not None and client.models():
        with suppress(NoNetwork):  # it may have other surroundings, in which nobody answers
            request = _as_the_daemon_would(client, request)
    return plan_here(desk, request)


def _as_the_daemon_would(client: DaemonClient, request: PullRequest) -> PullRequest:
    from localllm.api.views import PlanRequest  # noqa: PLC0415

    said = {name: getattr(request, name) for name in ServeRequest.__struct_fields__}
    view = client.plan(PlanRequest(**said))
    if view.choice is None:
        return request
    return msgspec.structs.replace(request, quant=view.candidates[view.choice].quant, anyway=True)


def title(name: str, quant: str | None) -> str:
    """What is fetched, the quantization as a word of its own."""
    return plain(" ".join(filter(None, (name.removesuffix(f":{quant}"), quant))))


def headline(name: str, quant: str | None, size_bytes: int, repo: str) -> str:
    """Say what is fetched, how much that is, and from where."""
    return f"{title(name, quant)}: {size(size_bytes)} from {plain(repo)}"


def a_daemon_of_our_hub(paths: Paths) -> DaemonClient | None:
    """The daemon that runs, if it would ask the same hub for the same cache as this process."""
    client = connect(paths.daemon_file)
    return client if client is not None and has_our_hub(client) else None


def has_our_hub(client: DaemonClient) -> bool:
    """Whether a daemon's environment says of the hub what ours says."""
    from localllm.api.daemon_file import hub_fingerprint  # noqa: PLC0415

    return client.daemon.hub == hub_fingerprint(os.environ)


def pull_here(desk: Desk, plan: PullPlan, display: Display, mib_per_s: float | None = None) -> Path:
    """Pull in this process; return the snapshot's folder. Ctrl-C keeps what has come."""
    allow_tls()
    import anyio  # noqa: PLC0415  # heavy, all of them

    from localllm.store.header_cache import HeaderCache  # noqa: PLC0415
    from localllm.store.job import PullProgress  # noqa: PLC0415
    from localllm.store.pulling import pull  # noqa: PLC0415
    from localllm.transfer.pace import Pace  # noqa: PLC0415

    framing, last = Framing(title(plan.model, plan.quant)), [0]

    def tell(progress: PullProgress) -> None:
        last[0] = progress.here_bytes
        display.show(framing.of_progress(progress))

    limit, connections = desk.settings.downloads.max_mib_per_s, desk.settings.downloads.connections
    limit = mib_per_s or limit
    pace = Pace(None if limit is None else limit * MIB)
    kept = HeaderCache(desk.paths.headers)
    job, environment = plan.job, desk.environment
    work = partial(pull, job, environment, tell, pace=pace, connections=connections, kept=kept)
    try:
        return _ending(display, lambda: anyio.run(work))
    except KeyboardInterrupt:
        _say_kept(last[0], plan.job.size_bytes)
        raise


def _ending(display: Display, work: Callable[[], Path]) -> Path:
    try:
        return work()
    finally:
        display.end()


def begin(client: DaemonClient, request: PullRequest) -> Begun:
    """Have the daemon pull; one that was paused goes on."""
    before = {one.id for one in client.pulls() if one.state in UNDER_WAY}
    view = client.pull(request)
    return Begun(view, view.id not in before)


def watch(client: DaemonClient, begun: Begun, display: Display) -> PullView:
    """Show the daemon's pull until it is done, and served if it was asked to be so.

    Ctrl-C pauses it, if it is this command's.

    Raises:
        LocalLLMError: It failed, was paused or cancelled by somebody else, or the daemon has ended.
    """
    view = begun.view
    framing = Framing(title(view.model, view.quant))
    try:
        while view.state in UNDER_WAY or is_about_to_be_served(view):
            display.show(framing.of_view(view))
            near = view.left is not None and view.left < _NEARLY_S
            time.sleep(_LOOK_SOON_S if near else _LOOK_EVERY_S)
            view = _look(client, view)
        display.show(framing.of_view(view))
    except KeyboardInterrupt:
        display.end()
        leave(client, begun)
        raise
    finally:
        display.end()
    _raise_unless_done(view)
    return view


def leave(client: DaemonClient, begun: Begun) -> None:
    """Stop the daemon's pull where it is; one that somebody else began goes on."""
    view = begun.view
    if not begun.is_ours:
        say(f"the pull of {plain(view.model)} was begun elsewhere, and goes on in the daemon")
        say("  localllm pull shows how far it is; with its name and --cancel it ends")
        return
    with suppress(LocalLLMError):  # it has ended, or the daemon has
        view = client.pause_pull(view.id)
    if is_about_to_be_served(view):
        say(f"all of {plain(view.model)} is here, and the daemon goes on to serve it")
        return
    _say_kept(view.here, view.size)


def _say_kept(here: int, whole: int) -> None:
    say(
        f"stopped: what has come is kept ({size(here)} of {size(whole)}), "
        "and the same command goes on from there"
    )


def _look(client: DaemonClient, view: PullView) -> PullView:
    try:
        found = next((one for one in client.pulls() if one.id == view.id), None)
    except (NotReady, NotRunning) as error:
        raise _without_daemon(view) from error
    if found is None:
        raise _ended_otherwise(view, "cancelled")
    return found


def _raise_unless_done(view: PullView) -> None:
    if view.state == "failed" and view.error is not None:
        raise error_of(view.error.message, view.error.code)
    if view.state != "done":
        raise _ended_otherwise(view, view.state)


def _without_daemon(view: PullView) -> DaemonEnded:
    return DaemonEnded(
        f"The daemon ended before all of {plain(view.model)} was here.",
        why="somebody stopped it, or it has crashed; "
        f"what has come is kept ({size(view.here)} of {size(view.size)})",
        fix="the same command again, which goes on from there",
    )


def _ended_otherwise(view: PullView, how: str) -> LocalLLMError:
    return LocalLLMError(
        f"The pull of {plain(view.model)} was {how}.",
        why="somebody else did it, by another command or on the screen",
        fix=f"localllm pull {plain(view.model)}, which goes on with what is there",
    )
