"""Processes of a second or a minute that end with this one, however this one ends."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

_UNTIL_THE_PARENT_ENDS = """\
exec 3<&0
( trap '' HUP INT TERM; exec >/dev/null 2>&1; read -r _ <&3; kill -KILL 0 ) &
exec "$@" 3<&- </dev/null
"""
"""As `supervisor/guard.py` does: else an engine would go on, were this process killed."""


def start_tied(
    argv: Sequence[str],
    environment: Mapping[str, str],
    out: int | IO[bytes],
    err: int | IO[bytes] = subprocess.STDOUT,
) -> subprocess.Popen[str]:
    """Start a program in a group of its own, whose leader it becomes.

    Args:
        err: For its errors; where nothing is said they go to `out` too.

    Raises:
        OSError: There is no shell.
    """
    return subprocess.Popen(
        ("/bin/sh", "-c", _UNTIL_THE_PARENT_ENDS, "localllm-tied", *argv),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=err,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def kill_tied(child: subprocess.Popen[str]) -> None:
    """Kill the whole group. Its leader was not waited for, so the number is still its own."""
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses a group of zombies
        os.killpg(child.pid, signal.SIGKILL)
