"""`localllm status`: the daemon and its models."""

from __future__ import annotations

import click

from localllm.api.sync_client import require_daemon
from localllm.cli.conventions import here, json_option, print_document, say
from localllm.cli.render import render_status
from localllm.odd_files import look_over, render_odd


@click.command("status")
@json_option
def command(*, as_json: bool) -> None:
    """Show the daemon, its models, what they use and what they do."""
    paths = here()
    status = require_daemon(paths.daemon_file).status()
    print_document(status, render_status(status), as_json=as_json)
    for odd in look_over(paths):
        say(f"warning: {render_odd(odd)}")
