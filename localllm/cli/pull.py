"""`localllm pull`: a model's files, planned for this machine, brought to this disk."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import click

from localllm.api.pull_views import PullRequest
from localllm.api.store_views import StoreView
from localllm.api.sync_client import DaemonClient, connect
from localllm.cli.cancelling import cancel_pull, render_cancelled
from localllm.cli.completing import engines, known_models, own_profiles, quantizations
from localllm.cli.conventions import absolute, here, json_option, print_document, say
from localllm.cli.outside import is_offline
from localllm.cli.pull_progress import a_display
from localllm.cli.pulling import (
    PulledView,
    a_daemon_of_our_hub,
    a_desk,
    begin,
    headline,
    plan_here,
    pull_here,
    watch,
)
from localllm.cli.render_store import render_pulls
from localllm.cli.unfinished import UNDER_WAY
from localllm.paths import Paths
from localllm.store.names import parse_repository_name
from localllm.wording.figures import size_of
from localllm.wording.plain import plain

if TYPE_CHECKING:  # heavy
    from localllm.planning.desk import Desk
    from localllm.planning.pull_plans import PullPlan

_WAITS = (
    "the daemon is fetching the same, without this limit: what it is at is waited for; "
    "localllm pull MODEL --cancel ends that"
)


@click.command("pull")
@click.argument("model", required=False, shell_complete=known_models)
@click.option(
    "--quant",
    shell_complete=quantizations,
    help="This quantization; by default the best that fits.",
)
@click.option(
    "--use", type=click.Choice(["chat", "code", "embed", "vision"]), help="By default chat."
)
@click.option("--context", type=click.IntRange(min=1), help="Tokens that it has to have room for.")
@click.option("--engine", shell_complete=engines, help="For this engine, see `engine list`.")
@click.option(
    "--profile",
    shell_complete=own_profiles,
    help="A profile of yours in config.toml; flags go before it.",
)
@click.option("--anyway", is_flag=True, help="Also if it does not fit this machine.")
@click.option("--offline", is_flag=True, help="Ask no hub: say whether it is here.")
@click.option(
    "--limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MIB_PER_S",
    help="No faster than this, in this process; by default as config.toml says.",
)
@click.option(
    "--cancel", is_flag=True, help="End MODEL's pull instead, and remove what has come in part."
)
@json_option
def command(
    model: str | None,
    *,
    offline: bool,
    limit: float | None,
    cancel: bool,
    as_json: bool,
    **asked: Any,  # noqa: ANN401  # click has checked each
) -> None:
    """Fetch MODEL: a catalog name, hf:owner/repo[:quant], or a hub's address.

    Only the files that are needed come, into the Hugging Face cache, which other programs share; each
    is checked while it comes. Ctrl-C loses nothing: the same command goes on. Without MODEL: what is
    under way.
    """
    paths = here()
    if model is None and asked["profile"] is None:
        if any((offline, limit, cancel, *asked.values())):
            raise click.UsageError("name a MODEL: without one, what is under way is shown")
        _show_pulls(paths, as_json=as_json)
        return
    request = PullRequest(model=absolute(model), **asked)
    if cancel:
        cancelled = cancel_pull(paths, request)
        print_document(cancelled, render_cancelled(cancelled), as_json=as_json)
        return
    if is_offline(os.environ, asked=offline):
        pulled = _look_here(paths, request)
    else:
        client = None if limit else a_daemon_of_our_hub(paths)
        if client is None:
            pulled = _pull_here(paths, request, limit)
        else:
            pulled = _pull_there(client, request)
    print_document(pulled, _lines(pulled), as_json=as_json)


def _show_pulls(paths: Paths, *, as_json: bool) -> None:
    client = connect(paths.daemon_file)
    if client is None:
        nobody = "no daemon is running, so nothing is under way; localllm pull MODEL begins"
        print_document([], [nobody], as_json=as_json)
        return
    pulls = client.pulls()
    print_document(pulls, render_pulls(pulls), as_json=as_json)


def _look_here(paths: Paths, request: PullRequest) -> PulledView:
    """Find it on this disk, and ask nobody else."""
    desk = a_desk(paths, offline=True)
    return _of_plan(desk, plan_here(desk, request), already=True)


def _pull_here(paths: Paths, request: PullRequest, limit: float | None) -> PulledView:
    desk = a_desk(paths)
    plan = plan_here(desk, request)
    if not plan.on_disk:
        _say_what(headline(plan.model, plan.quant, plan.size_bytes, plan.job.repo), plan.reason)
        if limit and _is_fetched_there(paths, plan):
            say(_WAITS)
        pull_here(desk, plan, a_display(), limit)
    return _of_plan(desk, plan, already=plan.on_disk)


def _is_fetched_there(paths: Paths, plan: PullPlan) -> bool:
    """Whether a daemon is fetching some of the same files: it holds their locks meanwhile."""
    client = connect(paths.daemon_file)
    if client is None:
        return False
    alike = [p for p in client.pulls() if p.state in UNDER_WAY and p.repo == plan.job.repo]
    wanted = {file.path for file in plan.job.files}
    return any(file.path in wanted for pull in alike for file in pull.files)


def _pull_there(client: DaemonClient, request: PullRequest) -> PulledView:
    begun = begin(client, request)
    view, already = begun.view, begun.view.state == "done"
    if not already:
        _say_what(headline(view.model, view.quant, view.size, view.repo or "its hub"), view.reason)
        view = watch(client, begun, a_display())
    return _pulled(client.store(fit=False), view.model, view.quant, already=already)


def _say_what(head: str, reason: str) -> None:
    say("\n  ".join(filter(None, (head, plain(reason)))))


def _of_plan(desk: Desk, plan: PullPlan, *, already: bool) -> PulledView:
    from localllm.planning.shelf import show_store  # noqa: PLC0415  # heavy

    store = show_store(desk, frozenset(), fit=False)
    return _pulled(store, plan.model, plan.quant, already=already)


def _pulled(store: StoreView, model: str, quant: str | None, *, already: bool) -> PulledView:
    """Find what was pulled in the list of what is here: by its name, else by its repository."""
    name = parse_repository_name(model)
    by_repo = None if name is None else (name.repo, quant)
    found = next((one for one in store.models if one.name in {model, f"{model}:{quant}"}), None)
    found = found or next((one for one in store.models if (one.repo, one.quant) == by_repo), None)
    if found is None:
        return PulledView(model=model, quant=quant, already=already)
    return PulledView(
        model=model,
        quant=found.quant,
        repo=found.repo,
        commit=found.commit,
        path=found.path,
        size=found.size,
        already=already,
    )


def _lines(pulled: PulledView) -> list[str]:
    name = plain(pulled.model)
    here = "is on this disk already" if pulled.already else "is on this disk"
    place = f": {plain(pulled.path)} ({size_of(pulled.size)})" if pulled.path else ""
    return [f"{name} {here}{place}", f"next: localllm up {shlex.quote(name)}"]
