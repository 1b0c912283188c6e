"""`localllm events`: what happened and what was decided, in words."""

from __future__ import annotations

import sys
import time

import click
import msgspec

from localllm.api.event_views import EventView
from localllm.api.sync_client import require_daemon
from localllm.cli.conventions import here


@click.command("events")
@click.option("-f", "--follow", is_flag=True, help="Go on showing what comes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(*, follow: bool, as_json: bool) -> None:
    """Show what happened, and what was decided: who was evicted and why, who waits for what."""
    for event in require_daemon(here().daemon_file).events(follow=follow):
        line = msgspec.json.encode(event).decode() if as_json else render_event(event)
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def render_event(event: EventView) -> str:
    """Draw one on a line."""
    clock = time.strftime("%H:%M:%S", time.localtime(event.at))
    what = f"{event.old} -> {event.new}" if event.topic == "state" else event.topic
    return f"{clock}  {what:<20}  {event.instance or '-'}  {event.why}"
