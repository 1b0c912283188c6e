"""`localllm down`: the end of the daemon and of everything it started."""

from __future__ import annotations

import click

from localllm.api.sync_client import require_daemon
from localllm.cli.conventions import here, say
from localllm.cli.service_start import how_it_comes_back, stop_between_lives, stop_if_it_fell
from localllm.cli.start import wait_until_gone


@click.command("down")
def command() -> None:
    """Let running requests finish, then stop every engine and the daemon."""
    paths = here()
    if not stop_between_lives(paths):
        client = require_daemon(paths.daemon_file)
        client.shut_down(forget=True)
        wait_until_gone(client, paths)
        stop_if_it_fell(paths)
    say("stopped")
    comes_back = how_it_comes_back(paths)
    if comes_back is not None:
        say(comes_back)
