"""daemon.json: who the daemon is, where it listens, and the token that the control API asks for."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

FORMAT = 1


class DaemonFile(msgspec.Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    pid: int
    started: float
    """Unix seconds."""

    port: int
    token: str
    version: str
    listen: str = "127.0.0.1"
    """The address for others; we ask on loopback in any case."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def write_daemon_file(file: Path, content: DaemonFile) -> None:
    """Write it so that nobody else can read it, not even for a moment, and nobody sees half of it."""
    draft = file.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(msgspec.json.encode(content))
    os.replace(draft, file)  # noqa: PTH105  # the one call that promises to be atomic


def read_daemon_file(file: Path) -> DaemonFile | None:
    """Read it; None if there is none that this version can read, or if its daemon is dead.

    The port of a dead one may be another program's by now, which must not get the token.
    """
    try:
        read = msgspec.json.decode(file.read_bytes(), type=DaemonFile)
        os.kill(read.pid, 0)
    except (OSError, OverflowError, msgspec.DecodeError):
        return None
    return read if read.format == FORMAT else None
