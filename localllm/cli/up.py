"""`localllm up`: from a bare machine to a served model."""

from __future__ import annotations

from typing import Any, NoReturn

import click
import msgspec

from localllm.api.status_views import StatusView
from localllm.api.views import ServeReply, ServeRequest
from localllm.cli.completing import known_models
from localllm.cli.conventions import absolute, here, json_option, print_document
from localllm.cli.permission import Permission, permission, permission_options
from localllm.cli.render import render_status
from localllm.cli.serving import begin_to_serve, prepare_here, serve_and_wait, serve_options
from localllm.cli.start import become_daemon, require_none
from localllm.cli.tui import open_screen, require_terminal
from localllm.paths import Paths


@click.command("up")
@click.argument("model", required=False, shell_complete=known_models)
@serve_options
@permission_options
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the endpoint (11711).")
@click.option("--foreground", is_flag=True, help="Stay attached, for systemd and launchd.")
@click.option(
    "--tui", "on_screen", is_flag=True, help="Watch it on the screen; see `localllm tui`."
)
@json_option
def command(
    model: str | None,
    *,
    port: int | None,
    yes: bool,
    offline: bool,
    foreground: bool,
    as_json: bool,
    **asked: Any,  # noqa: ANN401  # click has checked each
) -> None:
    """Start serving MODEL: a catalog name, hf:owner/repo:QUANT, a hub's address, or a .gguf.

    What is not on disk is fetched, once you have agreed. Without MODEL: what was served before, else
    the best one for this machine; where none can be fetched, a small one that needs no hub. What is
    served already stays, as far as there is memory for both.
    """
    paths, may = here(), permission(yes=yes, offline=offline)
    on_screen: bool = asked.pop("on_screen")
    wanted = ServeRequest(model=absolute(model), **asked)
    if on_screen:
        _up_on_screen(paths, port, wanted, may, alone=not (foreground or as_json))
    if foreground:
        require_none(paths)
        wanted = prepare_here(paths, wanted, may)
        become_daemon(port, msgspec.json.encode(wanted).decode())
    status, reply = serve_and_wait(paths, port, wanted, "serve", may)
    print_document(status, _ready_lines(status, reply), as_json=as_json)


def _up_on_screen(
    paths: Paths, port: int | None, wanted: ServeRequest, may: Permission, *, alone: bool
) -> NoReturn:
    """Begin to serve, and show the rest of the way on the screen."""
    if not alone:
        raise click.UsageError("--tui goes with neither --foreground nor --json.")
    require_terminal()
    begin_to_serve(paths, port, wanted, may)
    open_screen(paths)


def _ready_lines(status: StatusView, reply: ServeReply) -> list[str]:
    return [
        *render_status(status)[2:],
        "",
        f"{reply.id} is served at {status.daemon.endpoint}",
        f'next: localllm run {reply.id} "Say hello", or point an OpenAI client at that address',
    ]
