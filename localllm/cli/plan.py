"""`localllm plan`: what would run here, before anything is started."""

from __future__ import annotations

import os
import sys

import click

from localllm.api.sync_client import connect
from localllm.api.views import PlanView, ServeRequest
from localllm.cli.conventions import absolute, here, json_option, print_document
from localllm.cli.render import render_plan
from localllm.errors import DoesNotFit


@click.command("plan")
@click.argument("model", required=False)
@click.option("--use", type=click.Choice(["chat", "code", "embed", "vision"]), default="chat")
@click.option("--context", type=click.IntRange(min=1), help="Tokens; by default as many as fit.")
@click.option("--parallel", type=click.IntRange(1, 64), help="Requests at once.")
@click.option("--engine", help="xllamacpp or llama-server.")
@click.option(
    "--allow-cpu", is_flag=True, help="Plan for the processor if no engine reaches the accelerator."
)
@json_option
def command(  # noqa: PLR0913  # one argument per flag of the contract
    model: str | None,
    *,
    use: str,
    context: int | None,
    parallel: int | None,
    engine: str | None,
    allow_cpu: bool,
    as_json: bool,
) -> None:
    """Show the largest context that fits, the memory it takes, the speed, and why.

    Without MODEL: every model of the catalog that is on this disk.
    """
    wanted = ServeRequest(
        model=absolute(model),
        context=context,
        parallel=parallel,
        engine=engine,
        allow_cpu=allow_cpu,
    )
    view = _plan(wanted, use)
    print_document(view, render_plan(view), as_json=as_json)
    if all(c.verdict == "too_big" for c in view.candidates):
        sys.exit(DoesNotFit.exit_code)


def _plan(wanted: ServeRequest, use: str) -> PlanView:
    """Ask the daemon, which knows what its own models would give back; without one, plan here."""
    paths = here()
    client = connect(paths.daemon_file)
    if client is not None:
        return client.plan(wanted, use)
    from localllm.config import read_settings  # noqa: PLC0415  # heavy: only without a daemon
    from localllm.paths import bundled_profiles  # noqa: PLC0415
    from localllm.planning.desk import Desk  # noqa: PLC0415

    settings = read_settings(paths.config_file, os.environ)
    return Desk(settings, paths, os.environ, bundled_profiles()).show_plan(wanted, use)
