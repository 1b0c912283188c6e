"""`localllm rm`: models that go from this disk."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import click

from localllm.api.store_views import RemovedView
from localllm.cli.completing import models_here
from localllm.cli.conventions import absolute, here, json_option, print_document, say
from localllm.cli.housekeeping import agree, remove, said_of
from localllm.cli.render_store import render_removed
from localllm.errors import LocalLLMError
from localllm.paths import Paths


@click.command("rm")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, shell_complete=models_here)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def command(models: Sequence[str], *, yes: bool, as_json: bool) -> None:
    """Remove MODEL from this disk; what other models need of it stays.

    What is served is not removed, and nothing outside the Hugging Face cache.
    """
    paths, names = here(), [str(absolute(model)) for model in models]
    if not yes:
        said = ", ".join(said_of(paths, names))
        agree(f"remove {said}?", f"localllm rm {shlex.join(models)}", yes=yes)
    removed = _remove(paths, names)
    print_document(removed, render_removed(removed), as_json=as_json)


def _remove(paths: Paths, names: Sequence[str]) -> RemovedView:
    """Remove one after the other; what went before one that cannot go is said."""
    done: list[RemovedView] = []
    for name in names:
        try:
            done.append(remove(paths, name))
        except LocalLLMError:
            if done:
                say("\n".join(render_removed(together(done))))
            raise
    return together(done)


def together(views: Sequence[RemovedView]) -> RemovedView:
    """Put several into one document."""
    return RemovedView(
        removed=[name for view in views for name in view.removed],
        freed=sum(view.freed for view in views),
        kept=[why for view in views for why in view.kept],
    )
