"""`localllm switch`: another model in the place of what is served, no request lost."""

from __future__ import annotations

from typing import Any

import click

from localllm.api.status_views import InstanceView, StatusView
from localllm.api.sync_client import require_daemon
from localllm.api.views import ServeReply, ServeRequest
from localllm.cli.completing import known_models
from localllm.cli.conventions import absolute, here, json_option, print_document
from localllm.cli.permission import permission, permission_options
from localllm.cli.serving import serve_and_wait, serve_options


@click.command("switch")
@click.argument("model", shell_complete=known_models)
@serve_options
@permission_options
@json_option
def command(
    model: str,
    *,
    yes: bool,
    offline: bool,
    as_json: bool,
    **asked: Any,  # noqa: ANN401  # click has checked each
) -> None:
    """Serve MODEL in the place of what is served now; fetch it first, if it is not on disk.

    Where there is memory for both, the old one serves until the new one is ready and has been
    found in order. Else new requests wait, running ones finish, and the old one serves again if
    the new one cannot.
    """
    paths, may = here(), permission(yes=yes, offline=offline)
    require_daemon(paths.daemon_file)
    wanted = ServeRequest(model=absolute(model), **asked)
    status, reply = serve_and_wait(paths, None, wanted, "switch", may)
    print_document(status, _lines(status, reply), as_json=as_json)


def _lines(status: StatusView, reply: ServeReply) -> list[str]:
    served = [model for model in status.models if model.instance == reply.instance]
    return [f"{reply.id} is served at {status.daemon.endpoint}", *map(_gap, served)]


def _gap(model: InstanceView) -> str:
    if model.gap is None:
        return "it takes over from nobody"
    if not model.gap:
        return "the old model served until it was ready: no request waited"
    return f"for {model.gap:.1f} s no model was ready, and requests waited"
