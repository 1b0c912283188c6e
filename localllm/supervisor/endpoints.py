"""Where a run of an engine listens: a Unix socket where it can, else a port with a key of its own."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

from localllm.engines.base import Endpoint, Installed

_LONGEST_PATH = 100
"""Of a Unix socket; the kernels' limits are 107 (Linux) and 103 (macOS)."""


def new_endpoint(installed: Installed, folder: Path) -> Endpoint:
    """Choose an endpoint that nobody has used before.

    Args:
        folder: For sockets; made if needed, and entered by its user alone.
    """
    path = folder / f"{secrets.token_hex(6)}.sock"
    if "unix_socket" in installed.abilities and len(str(path)) <= _LONGEST_PATH:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        return Endpoint(socket=path)
    return Endpoint(port=_free_port(), key=secrets.token_hex(32))


def clear_sockets(folder: Path) -> None:
    """Remove what runs that were killed left behind; an engine does not bind over a file."""
    for path in folder.glob("*.sock"):
        path.unlink(missing_ok=True)


def _free_port() -> int:
    """Let the kernel choose.

    Another program may take it first: the start then fails, and the next run gets another one.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
