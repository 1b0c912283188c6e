"""Child processes that cannot outlive the code that started them, nor the daemon."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio.abc import Process

from localllm.engines.base import LaunchSpec
from localllm.supervisor.guard import guarded


class Child:
    """A process that leads its own group, signalled as a group."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = process.pid

    async def wait(self) -> int:
        return await self._process.wait()

    def terminate(self) -> None:
        signal_group(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        signal_group(self.pid, signal.SIGKILL)


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal every process of `group`; one that is already gone is no error."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass
    except PermissionError:  # macOS says so when only zombies are left in the group
        if sys.platform != "darwin":
            raise


def open_log(path: Path, cap_bytes: int = 16 << 20) -> BinaryIO:
    """Open a log that every run appends to, of this daemon and of those before.

    A file over the cap becomes `<name>.1`, replacing the older one. Called at each spawn, so
    a run's own lines are never cut off while it writes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > cap_bytes:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


@asynccontextmanager
async def running(spec: LaunchSpec, log: BinaryIO, *, grace_s: float) -> AsyncGenerator[Child]:
    """Run `spec` for the length of the block; on exit the process group is gone.

    Leaving the block by return, error or cancellation sends SIGTERM, waits
    `grace_s`, sends SIGKILL and reaps, shielded from further cancellation. If the
    daemon dies without leaving the block, the guard ends the group.

    Args:
        log: Receives stdout and stderr from the child itself, so there is no pipe
            to drain, and none that a stray grandchild could hold open.

    Raises:
        OSError: The executable is missing or not executable.
    """
    env = {**os.environ, **spec.env}
    if shutil.which(spec.argv[0], path=env.get("PATH")) is None:  # the shell would say 127
        raise FileNotFoundError(f"no such program, or not executable: {spec.argv[0]}")
    with _lifeline() as read_end:
        process = await anyio.open_process(
            list(guarded(spec.argv)),
            stdin=read_end,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
        child = Child(process)
        try:
            yield child
        finally:
            with anyio.CancelScope(shield=True):
                child.terminate()
                with anyio.move_on_after(grace_s):
                    await child.wait()
                child.kill()
                await child.wait()


@contextmanager
def _lifeline() -> Generator[int]:
    """Hold the write end of a pipe, which no child inherits; yield the read end."""
    read_end, write_end = os.pipe()
    try:
        yield read_end
    finally:
        os.close(read_end)
        os.close(write_end)
