"""`localllm pin`: a model that stays."""

from __future__ import annotations

import click

from localllm.api.sync_client import require_daemon
from localllm.cli.completing import served_models
from localllm.cli.conventions import here, json_option, print_document


@click.command("pin")
@click.argument("model", shell_complete=served_models)
@json_option
def command(model: str, *, as_json: bool) -> None:
    """Keep MODEL in memory: it neither makes room for others nor is unloaded when idle."""
    reply = require_daemon(here().daemon_file).pin(model, pinned=True)
    print_document(reply, [f"{reply.id} is pinned"], as_json=as_json)
