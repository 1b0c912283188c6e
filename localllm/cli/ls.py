"""`localllm ls`: the models on this disk."""

from __future__ import annotations

import time

import click

from localllm.cli.conventions import here, json_option, print_document
from localllm.cli.housekeeping import read_store
from localllm.cli.render_store import render_store


@click.command("ls")
@click.option("--fit/--no-fit", default=True, help="Whether to say what would run as it is now.")
@json_option
def command(*, fit: bool, as_json: bool) -> None:
    """Show the models on this disk: size, place, when used last, and whether they fit now.

    Those of other programs are among them: LM Studio's, Ollama's, all of the Hugging Face cache.
    """
    store = read_store(here(), fit=fit)
    print_document(store, render_store(store, time.time(), fit=fit), as_json=as_json)
