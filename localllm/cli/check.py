"""`localllm check`: examine a model, alone or beside another one."""

from __future__ import annotations

import time
from contextlib import suppress

import click

from localllm.api.check_views import CheckRequest, CheckView
from localllm.api.sync_client import DaemonClient, require_daemon
from localllm.cli.completing import known_models
from localllm.cli.conventions import absolute, here, json_option, print_document, say
from localllm.errors import LocalLLMError, error_of

_PATH = "/api/v1/check"
_EVERY_S = 0.25


@click.command("check")
@click.argument("model", shell_complete=known_models)
@click.option(
    "--against",
    metavar="MODEL",
    shell_complete=known_models,
    help="Compare with this one; by default with what is remembered of MODEL.",
)
@click.option("--quick", is_flag=True, help="A few texts and questions: seconds, not minutes.")
@click.option("--fresh", is_flag=True, help="Examine --against anew, though a result is kept.")
@click.option(
    "--switch",
    "--yes",
    "switch",
    is_flag=True,
    help="If it does not fit beside what is served: serve it in its place, and bring that back.",
)
@json_option
def command(
    model: str, *, against: str | None, quick: bool, fresh: bool, switch: bool, as_json: bool
) -> None:
    """Examine MODEL as it is served here: tokenizer, perplexity, tasks, tool calls, speed.

    One that is not served is loaded beside what is, for as long as it takes. Ends with 1 if it is
    broken, or worse than what it is compared with.
    """
    client = require_daemon(here().daemon_file)
    wanted = CheckRequest(
        model=absolute(model) or model,
        against=absolute(against),
        quick=quick,
        fresh=fresh,
        switch=switch,
        while_watched=True,
    )
    view = _carried_out(client, wanted)
    if view.report is None:
        raise _failure(view)
    from localllm.cli.render_check import render_check  # noqa: PLC0415  # only at the end

    print_document(view.report, render_check(view.report), as_json=as_json)
    if view.report.verdict != "ok":
        click.get_current_context().exit(1)


def _carried_out(client: DaemonClient, wanted: CheckRequest) -> CheckView:
    """Begin the check and wait for its end; who interrupts that calls it off."""
    view = client.ask("POST", _PATH, CheckView, wanted)
    number, shown = view.number, 0
    try:
        while True:
            for step in view.steps[shown:]:
                say(step)
            shown = len(view.steps)
            if view.state != "running" or view.number != number:
                return view
            time.sleep(_EVERY_S)
            view = client.ask("GET", _PATH, CheckView)
    except KeyboardInterrupt:
        with suppress(LocalLLMError):  # as where the daemon is gone, and its check with it
            client.ask("DELETE", _PATH, CheckView)
        raise


def _failure(view: CheckView) -> Exception:
    error = view.error
    if error is None:
        return LocalLLMError(
            "The check is gone.", why="another was begun", fix="localllm check MODEL"
        )
    return error_of(f"{error.what}\n  why: {error.why}\n  fix: {error.fix}", error.code)
