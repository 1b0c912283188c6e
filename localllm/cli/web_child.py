"""The screen behind a page: what `localllm tui --web` starts for each, with a socket to ask it on."""

from __future__ import annotations

import socket
import sys

from localllm.cli.conventions import here
from localllm.cli.tui import open_screen
from localllm.web.starting import ask_to_start


def main() -> None:
    """Show the screen on standard input and output, as Textual's driver for pages speaks."""
    with socket.socket(fileno=int(sys.argv[1])) as server:
        open_screen(here(), lambda: ask_to_start(server))


if __name__ == "__main__":
    main()
