"""`localllm down`: the end of the daemon and of everything it started."""

from __future__ import annotations

import click

from localllm.api.sync_client import require_daemon
from localllm.cli.conventions import here, say
from localllm.cli.start import wait_until_gone


@click.command("down")
def command() -> None:
    """Let running requests finish, then stop every engine and the daemon."""
    paths = here()
    client = require_daemon(paths.daemon_file)
    client.shut_down(forget=True)
    wait_until_gone(client, paths)
    say("stopped")
