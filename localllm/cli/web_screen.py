"""`localllm tui --web`: serves the screen to a browser of this machine."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable

import click

from localllm.cli.conventions import allow_tls, say
from localllm.paths import Paths


def show_in_browser(paths: Paths, port: int | None, start_daemon: Callable[[], None]) -> None:
    """Serve the screen until Ctrl-C.

    Raises:
        LocalLLMError: textual-serve is not installed, or the port is taken.
    """
    gc.enable()  # see entry.main: this command lives long
    allow_tls()  # which aiohttp loads
    import anyio  # noqa: PLC0415  # what others do not pay for

    from localllm.web.app import serve_screen  # noqa: PLC0415
    from localllm.web.child import Screen  # noqa: PLC0415
    from localllm.web.environment import screen_environment  # noqa: PLC0415

    paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    screen = Screen(
        command=(sys.executable, "-P", "-m", "localllm.cli.web_child"),
        environment=screen_environment(os.environ),
        start_daemon=start_daemon,
        log=paths.logs / "screen.log",
    )
    anyio.run(serve_screen, screen, port or 0, _announce)


def _announce(address: str) -> None:
    click.echo(address)
    say("Open this address in a browser of this machine; it works once. Ctrl-C ends it.")
