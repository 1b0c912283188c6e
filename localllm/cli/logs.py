"""`localllm logs`: what an engine wrote."""

from __future__ import annotations

import sys

import click

from localllm.api.sync_client import require_daemon
from localllm.cli.conventions import here


@click.command("logs")
@click.argument("model", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on showing what comes.")
@click.option("-n", "--lines", type=click.IntRange(1, 10_000), default=200, show_default=True)
def command(model: str | None, *, follow: bool, lines: int) -> None:
    """Show the last lines of MODEL's engine; without MODEL, of the only one served."""
    client = require_daemon(here().daemon_file)
    if model is None:
        model = _only_model([m.id for m in client.models()])
    for chunk in client.logs(model, lines=lines, follow=follow):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def _only_model(served: list[str]) -> str:
    if len(served) == 1:
        return served[0]
    raise click.UsageError(f"name a model: {', '.join(served) or 'none is served'}")
