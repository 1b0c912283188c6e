"""Ends engines that an earlier daemon left behind: the last resort, should a guard have been killed too.

Every engine carries the state folder of its daemon in its environment. Whoever holds that
folder's lock is the only daemon of it, so an engine that carries it and is not ours is an
orphan: no process id is remembered, none can be mistaken. A container's processes can be seen from
its host, and name a folder that is spelled the same: those have a daemon of their own.
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
        if process.pid != os.getpid() and owner_of(process) == str(state):
            process.kill()
            killed.append(process.pid)
    return tuple(killed)


def owner_of(process: psutil.Process) -> str | None:
    """Read whose engine a process is; None for one that is gone, another user's, or in a container."""
    try:
        owner = process.environ().get(OWNER_VARIABLE)
    except (psutil.Error, OSError):
        return None
    return owner if owner is None or _is_among_us(process.pid) else None


def _is_among_us(pid: int) -> bool:
    """Whether it counts processes as we do; where the system has no such spaces, all do."""
    try:
        own, its = (Path(f"/proc/{one}/ns/pid").readlink() for one in ("self", pid))
    except OSError:
        return not Path("/proc/self/ns/pid").exists()
    return own == its
