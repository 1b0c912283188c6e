"""`localllm stop`: one model less."""

from __future__ import annotations

import click

from localllm.api.sync_client import require_daemon
from localllm.cli.completing import served_models
from localllm.cli.conventions import here, json_option, print_document


@click.command("stop")
@click.argument("model", shell_complete=served_models)
@json_option
def command(model: str, *, as_json: bool) -> None:
    """Let MODEL's running requests finish, then stop it and give its memory back."""
    reply = require_daemon(here().daemon_file).stop(model)
    print_document(reply, [f"stopped {name}" for name in reply.stopped], as_json=as_json)
