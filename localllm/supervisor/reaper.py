"""Ends engines that an earlier daemon left behind: the last resort, should a guard have been killed too.

Every engine carries the state folder of its daemon in its environment. Whoever holds that
folder's lock is the only daemon of it, so an engine that carries it and is not ours is an
orphan: no process id is remembered, none can be mistaken.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

OWNER_VARIABLE = "LOCALLLM_ENGINE_OF"


def reap(state: Path) -> tuple[int, ...]:
    """Kill the orphans of `state`, and return their process ids."""
    killed: list[int] = []
    for process in psutil.process_iter():
        if process.pid != os.getpid() and _owner(process) == str(state):
            process.kill()
            killed.append(process.pid)
    return tuple(killed)


def _owner(process: psutil.Process) -> str | None:
    """Read whose engine a process is; None for one that is gone, or is another user's."""
    try:
        return process.environ().get(OWNER_VARIABLE)
    except (psutil.Error, OSError):
        return None
