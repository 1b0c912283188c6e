"""`localllm tui`: the screen. What it is drawn with is loaded once it is opened, and by nothing else."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from typing import NoReturn

import click

from localllm import __version__
from localllm.api.sync_client import connect
from localllm.cli.conventions import allow_tls, here
from localllm.cli.start import a_daemon
from localllm.errors import AlreadyRunning
from localllm.paths import Paths


@click.command("tui")
@click.option("--web", "in_browser", is_flag=True, help="Show it in a browser on this machine.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Where --web listens; without it, any free port."
)
def command(*, in_browser: bool, port: int | None) -> None:
    """Watch devices, models and requests, and switch models; closing it stops nothing.

    Where no daemon runs, the screen says so and starts one with a key.
    """
    if port is not None and not in_browser:
        raise click.UsageError("--port goes with --web.")
    paths = here()
    if in_browser:
        from localllm.cli.web_screen import show_in_browser  # noqa: PLC0415  # rarely needed

        show_in_browser(paths, port, lambda: _start(paths))
    else:
        require_terminal()
        open_screen(paths)


def require_terminal() -> None:
    """Refuse where nobody can look at a screen.

    Raises:
        UsageError: What is asked for goes to a file or a pipe.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(
            "The screen needs a terminal, and this is none; localllm status tells the same in lines."
        )


def open_screen(paths: Paths, start: Callable[[], None] | None = None) -> NoReturn:
    """Show the screen until its user leaves it, and end this process with it.

    Args:
        start: Starts a daemon; None: this process does.
    """
    gc.enable()  # see entry.main: this command lives long
    allow_tls()
    from localllm.tui.app import Localllm  # noqa: PLC0415  # half a second that others do not pay
    from localllm.tui.source import Source  # noqa: PLC0415

    no_color = bool(os.environ.get("NO_COLOR"))
    source = Source(paths.daemon_file, start or (lambda: _start(paths)))
    app = Localllm(source, no_color=no_color)
    gc.collect()
    gc.freeze()  # what is there by now stays: looking through it again would hold up keys
    app.run()
    sys.exit(app.return_code or 0)


def _start(paths: Paths) -> None:
    """Start a daemon if none runs; what is said of it goes where the screen catches it.

    Raises:
        AlreadyRunning: One of another version runs, which `a_daemon` would replace: it may be serving.
    """
    running = connect(paths.daemon_file)
    if running is not None and running.daemon.version != __version__:
        raise AlreadyRunning(
            f"A daemon of version {running.daemon.version} runs already.",
            why=f"this screen is of version {__version__}, and ends nothing that may be serving",
            fix="localllm down, then S starts one of this version",
        )
    with a_daemon(paths, None):
        pass
