"""`localllm events`: what happened and what was decided, in words."""

from __future__ import annotations

import sys

import click
import msgspec

from localllm.api.sync_client import require_daemon
from localllm.cli.conventions import here
from localllm.wording.events import line_of


@click.command("events")
@click.option("-f", "--follow", is_flag=True, help="Go on showing what comes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(*, follow: bool, as_json: bool) -> None:
    """Show what happened, and what was decided: who was evicted and why, who waits for what."""
    for event in require_daemon(here().daemon_file).events(follow=follow):
        line = msgspec.json.encode(event).decode() if as_json else line_of(event)
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
