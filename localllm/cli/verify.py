"""`localllm verify`: whether files on this disk are still what the hub has."""

from __future__ import annotations

import sys

import click

from localllm.cli.completing import models_here
from localllm.cli.conventions import absolute, here, json_option, print_document
from localllm.cli.pull_progress import Reading
from localllm.cli.pulling import a_desk
from localllm.cli.render_store import render_verified


@click.command("verify")
@click.argument("model", required=False, shell_complete=models_here)
@json_option
def command(model: str | None, *, as_json: bool) -> None:
    """Read MODEL's files again and compare them with their hashes; without MODEL, all.

    It exits with 1 if one is damaged.
    """
    from localllm.planning.shelf import verify  # noqa: PLC0415  # heavy

    reading = Reading()
    try:
        view = verify(a_desk(here(), offline=True), absolute(model), reading)
    finally:
        reading.end()
    print_document(view, render_verified(view), as_json=as_json)
    if any(file.outcome == "damaged" for file in view.files):
        sys.exit(1)
