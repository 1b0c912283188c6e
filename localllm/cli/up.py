"""`localllm up`: from a bare machine to a served model."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from localllm.api.status_views import StatusView
from localllm.api.sync_client import DaemonClient
from localllm.api.views import ServeReply, ServeRequest
from localllm.cli.conventions import absolute, here, json_option, print_document
from localllm.cli.render import render_status
from localllm.cli.serving import fetch_stand_in, serve_and_wait, serve_options, with_engine_here
from localllm.cli.start import become_daemon
from localllm.paths import Paths, bundled_profiles


@click.command("up")
@click.argument("model", required=False)
@serve_options
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the endpoint (11711).")
@click.option("--foreground", is_flag=True, help="Stay attached, for systemd and launchd.")
@json_option
def command(
    model: str | None,
    *,
    port: int | None,
    yes: bool,
    foreground: bool,
    as_json: bool,
    **asked: Any,  # noqa: ANN401  # click has checked each
) -> None:
    """Start serving MODEL: a catalog name, a .gguf, or hf:owner/repo:QUANT.

    Without MODEL: what was served before, else the small model that needs no hub. What is served
    already stays, as far as there is memory for both.
    """
    paths = here()
    wanted = ServeRequest(model=absolute(model), **asked)
    if foreground:
        _fetch_if_nothing_else(paths, wanted)
        wanted = with_engine_here(paths, wanted, yes=yes)
        become_daemon(port, msgspec.json.encode(wanted).decode())
    status, reply = serve_and_wait(paths, port, wanted, DaemonClient.serve, yes=yes)
    print_document(status, _ready_lines(status, reply), as_json=as_json)


def _fetch_if_nothing_else(paths: Paths, wanted: ServeRequest) -> None:
    """Bring the stand-in before the daemon looks for it, unless it has something to resume."""
    from localllm.catalog.profile import read_profiles, stand_in  # noqa: PLC0415  # rarely needed
    from localllm.store.embedded import find_embedded  # noqa: PLC0415

    if wanted.model is not None or paths.serving.exists():
        return
    if find_embedded(stand_in(read_profiles(bundled_profiles())), paths.data) is None:
        fetch_stand_in(paths)


def _ready_lines(status: StatusView, reply: ServeReply) -> list[str]:
    return [
        *render_status(status)[2:],
        "",
        f"{reply.id} is served at {status.daemon.endpoint}",
        f'next: localllm run {reply.id} "Say hello", or point an OpenAI client at that address',
    ]
