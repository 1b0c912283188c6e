"""The process that carries a pull out: a child of the daemon, in which the hub's library may be.

It is told what to bring on its standard input, which stays open: the kernel closes it when the
daemon ends, however it ends, and the process ends with it. See store/pull_talk.py.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from localllm.store.job import PullProgress
from localllm.store.pull_talk import Begin, Pace, Said
from localllm.supervisor.process import signal_group
from localllm.supervisor.pull_messages import Ended

_log = logging.getLogger(__name__)

WORKER = (sys.executable, "-P", "-m", "localllm.store.pull_worker")
_LINE_BYTES = 16 << 20
_EXIT_WITHIN_S = 5.0
"""Of one that says no more."""

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class PullProcess:
    """One process, for the length of one call of `run`.

    Args:
        marks: Put into its environment.
        hear: Told how far it is.
    """

    def __init__(
        self,
        command: Sequence[str],
        marks: Mapping[str, str],
        begin: Begin,
        hear: Callable[[PullProgress], None],
    ) -> None:
        self._command = command
        self._marks = marks
        self._begin = begin
        self._hear = hear
        self._pace = begin.bytes_per_s
        self._new_pace = anyio.Event()
        self._scope = anyio.CancelScope()

    def kill(self) -> None:
        """Have it gone soon; also one that is only about to be started."""
        self._scope.cancel()

    def set_pace(self, bytes_per_s: float | None) -> None:
        """Tell it how fast it may be from now on."""
        if bytes_per_s != self._pace:
            self._pace = bytes_per_s
            self._new_pace.set()

    async def run(self, number: int) -> Ended:
        """Be the process until it is gone.

        Args:
            number: Of the run, for the answer.
        """
        with self._scope:
            try:
                async with _running(self._command, self._marks) as process:
                    return await self._talk(process, number)
            except OSError as error:
                return Ended(number, why=str(error))
        return Ended(number, why="ended by the daemon")

    async def _talk(self, process: Process, number: int) -> Ended:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tell, process)
            last = await self._listen(process)
            tasks.cancel_scope.cancel()
        if last is not None:
            return Ended(number, done=last.done, failed=last.failed)
        with anyio.move_on_after(_EXIT_WITHIN_S):
            return Ended(number, code=await process.wait())
        return Ended(number, why="it says no more, and does not end")

    async def _tell(self, process: Process) -> None:
        """Say what to bring, and each new pace; one that is gone is no error."""
        assert process.stdin is not None, "it is a pipe"
        with suppress(*_GONE):
            await process.stdin.send(_line(self._begin))
            told = self._begin.bytes_per_s
            while True:
                if self._pace != told:
                    told = self._pace
                    await process.stdin.send(_line(Pace(bytes_per_s=told)))
                self._new_pace = anyio.Event()
                if self._pace == told:
                    await self._new_pace.wait()

    async def _listen(self, process: Process) -> Said | None:
        """Pass on how far it is, until its last word; None if it has ended without."""
        assert process.stdout is not None, "it is a pipe"
        lines = BufferedByteReceiveStream(process.stdout)
        with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound, *_GONE):
            while True:
                said = _understood(await lines.receive_until(b"\n", _LINE_BYTES))
                if said is not None and (said.done or said.failed is not None):
                    return said
                if said is not None and said.progress is not None:
                    self._hear(said.progress)
        return None


def _line(word: Begin | Pace) -> bytes:
    return msgspec.json.encode(word) + b"\n"


def _understood(line: bytes) -> Said | None:
    """Read a line; what a library has printed there is none of ours."""
    try:
        return msgspec.json.decode(line, type=Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        _log.warning("a process that pulls says what nobody understands: %r", line[:200])
        return None


@asynccontextmanager
async def _running(command: Sequence[str], marks: Mapping[str, str]) -> AsyncGenerator[Process]:
    """Run a process for the length of the block; on exit its group is gone, and reaped.

    Raises:
        OSError: It cannot be started.
    """
    with anyio.CancelScope(shield=True):  # so that one that has begun is known, and ended below
        process = await anyio.open_process(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,  # the daemon's log
            env={**os.environ, **marks},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            signal_group(process.pid, signal.SIGKILL)
            await process.wait()
            await process.aclose()
