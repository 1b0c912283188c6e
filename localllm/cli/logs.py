"""`localllm logs`: what an engine wrote."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from localllm.api.sync_client import require_daemon
from localllm.cli.completing import served_models
from localllm.cli.conventions import here
from localllm.wording.engine_log import Cutter
from localllm.wording.plain import plain


@click.command("logs")
@click.argument("model", required=False, shell_complete=served_models)
@click.option("-f", "--follow", is_flag=True, help="Go on showing what comes.")
@click.option("-n", "--lines", type=click.IntRange(1, 10_000), default=200, show_default=True)
def command(model: str | None, *, follow: bool, lines: int) -> None:
    """Show the last lines of MODEL's engine; without MODEL, of the only one served."""
    client = require_daemon(here().daemon_file)
    if model is None:
        model = _only_model([m.id for m in client.models()])
    put_out(client.logs(model, lines=lines, follow=follow))


def put_out(chunks: Iterable[bytes]) -> None:
    """Write a log: harmless lines on a terminal, and elsewhere what is in it."""
    if sys.stdout.isatty():
        _show(chunks)
    else:
        _copy(chunks)


def _show(chunks: Iterable[bytes]) -> None:
    """Write whole lines, without what would steer the terminal."""
    cutter = Cutter()
    for chunk in chunks:
        _write(cutter.lines(chunk))
    _write(cutter.end())


def _write(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _copy(chunks: Iterable[bytes]) -> None:
    """Write it as the engine wrote it."""
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def _only_model(served: list[str]) -> str:
    if len(served) == 1:
        return served[0]
    raise click.UsageError(f"name a model: {plain(', '.join(served)) or 'none is served'}")
