"""Carries `localllm bench --replay FILE` out: replays, keeps and shows it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from localllm.api.replay_views import ReplayView
from localllm.api.sync_client import DaemonClient, require_daemon
from localllm.api.traffic_file import SUFFIX
from localllm.bench.replaying import Replaying, ReplayWish, begin_replay
from localllm.bench.replays_saved import last_of, read_replays, save_replay
from localllm.cli.conventions import allow_tls, here, print_document, say
from localllm.cli.render_replay import render_replay
from localllm.errors import LocalLLMError
from localllm.wording.figures import counted
from localllm.wording.plain import plain

_INTERRUPTED = 130


def replay_as_asked(model: str | None, asked: Mapping[str, Any], *, as_json: bool) -> None:
    """Replay as the command line has it."""
    allow_tls()  # what runs the load imports it
    client = require_daemon(here().daemon_file)
    client.models()  # says that no daemon answers before the file is looked at
    file = find_file(asked["replay"], here().traffic)
    wish = ReplayWish(file, asked["rate"], asked["closed"], asked["beside_others"])
    run_replay(client, model, wish, save=asked["save"], as_json=as_json)


def find_file(said: str, folder: Path) -> Path:
    """Find a file by its path, or by the name that `record ls` shows.

    Raises:
        UsageError: There is none.
    """
    for file in (Path(said).expanduser(), folder / f"{said}{SUFFIX}"):
        if file.is_file():
            return file
    raise click.UsageError(f"No file {plain(said)!r}; localllm record ls shows what was recorded.")


def run_replay(
    client: DaemonClient, model: str | None, wish: ReplayWish, *, save: bool, as_json: bool
) -> None:
    """Replay recorded traffic at each rate; what is done when it is broken off is kept and shown.

    Raises:
        LocalLLMError: Nothing could be replayed, or not all; why.
        SystemExit: It was interrupted.
    """
    replaying = begin_replay(client, model, wish, say)
    for note in replaying.plan.notes:
        say(f"note: {note}")
    interrupted, failure = _played(replaying)
    view = replaying.report(interrupted=interrupted or failure is not None)
    before = last_of(read_replays(here().benches), view)
    view = _saved(view) if save else view
    print_document(view, render_replay(view, before), as_json=as_json)
    if failure is not None:
        raise failure
    if interrupted:
        sys.exit(_INTERRUPTED)


def _played(replaying: Replaying) -> tuple[bool, LocalLLMError | None]:
    """Play; tell whether it was interrupted, and what ended it early though a pass was over."""
    interrupted, failure = False, None
    try:
        replaying.run()
    except KeyboardInterrupt:
        interrupted = True
        if not replaying.passes:
            raise
    except LocalLLMError as error:
        failure = error
        if not replaying.passes:
            raise
    if interrupted or failure is not None:
        over = counted(len(replaying.passes), "pass", "passes")
        say(f"broken off: what follows is of the {over} before")
    return interrupted, failure


def _saved(view: ReplayView) -> ReplayView:
    try:
        return save_replay(here().benches, view)
    except OSError as error:
        say(f"not saved: {error.strerror or error}")
        return view
