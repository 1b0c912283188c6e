"""`localllm tui`: the screen. What it is drawn with is loaded once it is opened, and by nothing else."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

import click

from localllm.cli.conventions import allow_tls, here
from localllm.cli.start import a_daemon
from localllm.paths import Paths


@click.command("tui")
def command() -> None:
    """Watch devices, models and requests, and switch models; closing it stops nothing.

    Where no daemon runs, the screen says so and starts one with a key.
    """
    require_terminal()
    open_screen(here())


def require_terminal() -> None:
    """Refuse where nobody can look at a screen.

    Raises:
        UsageError: What is asked for goes to a file or a pipe.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(
            "The screen needs a terminal, and this is none; localllm status tells the same in lines."
        )


def open_screen(paths: Paths) -> NoReturn:
    """Show the screen until its user leaves it, and end this process with it."""
    gc.enable()  # see entry.main: this command lives long
    allow_tls()
    from localllm.tui.app import Localllm  # noqa: PLC0415  # half a second that others do not pay
    from localllm.tui.source import Source  # noqa: PLC0415

    no_color = bool(os.environ.get("NO_COLOR"))
    app = Localllm(Source(paths.daemon_file, lambda: _start(paths)), no_color=no_color)
    gc.collect()
    gc.freeze()  # what is there by now stays: looking through it again would hold up keys
    app.run()
    sys.exit(app.return_code or 0)


def _start(paths: Paths) -> None:
    """Start a daemon if none runs; what is said of it goes where the screen catches it."""
    with a_daemon(paths, None):
        pass
