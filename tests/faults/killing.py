"""Ending an engine from outside, as the kernel or a bug would."""

from __future__ import annotations

import os
import signal
import time

from tests.fakes.installation import Installation, wait_until


def kill(here: Installation) -> float:
    """End the engine at once, and see the daemon notice; return when it was.

    What is sent in the milliseconds before it notices may reach the dying process, and is
    answered with an error that says that it may be sent again.
    """
    pid = here.model()["pid"]
    at = kill_unnoticed(pid)
    wait_until(lambda: here.model()["pid"] != pid, "the death is noticed")
    return at


def kill_unnoticed(pid: int) -> float:
    """End a process at once; return when it was."""
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()
