"""The process behind one screen in a browser: no shell, no keys, and never longer than its page.

Its standard input is the lifeline: at its end, which comes too when this process is killed, the
screen leaves (`tui/in_browser.py`).
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from localllm.supervisor.process import open_log, signal_group
from localllm.web.packets import HEAD_BYTES, READY, SHOWN, Size, parse_head
from localllm.web.starting import answer_starts

_START_S = 30.0
_LEAVE_S = 3.0
_BEFORE_READY_BYTES = 1 << 16
_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError)


@dataclass(frozen=True, slots=True)
class Screen:
    """What is run for each page."""

    command: Sequence[str]
    """Gets the number of a socket, on which it may ask for a daemon, as its last word."""

    environment: Mapping[str, str]
    """All that it sees."""

    start_daemon: Callable[[], None]
    log: Path
    """For what it says beside what it shows."""


class Child:
    """A screen that runs."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._input = process.stdin
        self._output = BufferedByteReceiveStream(process.stdout)

    async def tell(self, packet: bytes) -> None:
        """Hand it a packet; one that has gone hears nothing."""
        with suppress(*_GONE):
            await self._input.send(packet)

    async def shown(self) -> AsyncGenerator[bytes]:
        """Yield what a terminal is to show, until the process ends.

        Raises:
            ValueError: It talks nonsense.
            TimeoutError: It has not begun within half a minute.
        """
        with suppress(anyio.EndOfStream, anyio.IncompleteRead, *_GONE):
            await self._begin()
            while True:
                kind, size = parse_head(await self._output.receive_exactly(HEAD_BYTES))
                payload = await self._output.receive_exactly(size) if size else b""
                if kind == SHOWN:  # all else is for what this page does not do: files, links
                    yield payload

    async def _begin(self) -> None:
        try:
            with anyio.fail_after(_START_S):
                await self._output.receive_until(READY, _BEFORE_READY_BYTES)
        except anyio.DelimiterNotFound as error:
            raise ValueError("it does not begin as Textual does") from error

    async def wait(self) -> int | None:
        """Say how it ended; None: its output has, and it has not."""
        with anyio.move_on_after(_LEAVE_S):
            return await self._process.wait()
        return None


@asynccontextmanager
async def running(screen: Screen, size: Size) -> AsyncGenerator[Child]:
    """Run a screen for the length of the block."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = await _open(screen, size, theirs.fileno())
        async with _ending(process), anyio.create_task_group() as tasks:
            tasks.start_soon(answer_starts, ours, screen.start_daemon)
            yield Child(process)
            tasks.cancel_scope.cancel()


async def _open(screen: Screen, size: Size, asks_at: int) -> Process:
    with open_log(screen.log) as log:
        return await anyio.open_process(
            [*screen.command, str(asks_at)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**screen.environment, "COLUMNS": str(size.width), "ROWS": str(size.height)},
            start_new_session=True,  # Ctrl-C is for the server, which then ends all
            pass_fds=(asks_at,),
        )


@asynccontextmanager
async def _ending(process: Process) -> AsyncGenerator[None]:
    """Have the process leave at the end of the block; kill what does not, and what it left behind."""
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            try:
                await _leave(process)
            finally:  # aiohttp's cancelling, when the page goes in these seconds, heeds no shield
                signal_group(process.pid, signal.SIGKILL)
                await process.aclose()


async def _leave(process: Process) -> None:
    assert process.stdin is not None
    await process.stdin.aclose()
    with anyio.move_on_after(_LEAVE_S):
        await process.wait()
