"""`localllm unpin`: a model that may go again."""

from __future__ import annotations

import click

from localllm.api.sync_client import require_daemon
from localllm.cli.completing import served_models
from localllm.cli.conventions import here, json_option, print_document


@click.command("unpin")
@click.argument("model", shell_complete=served_models)
@json_option
def command(model: str, *, as_json: bool) -> None:
    """Let MODEL make room for others again, and be unloaded when idle."""
    reply = require_daemon(here().daemon_file).pin(model, pinned=False)
    print_document(reply, [f"{reply.id} is no longer pinned"], as_json=as_json)
