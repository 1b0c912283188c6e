"""How a screen in a browser has the daemon started: by the server, over a socket between the two.

The screen itself has an environment without keys, proxies and choices of devices; a daemon that it
started would serve other things than one from the command line.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import anyio.to_thread
import msgspec

from localllm.errors import LocalLLMError, StartFailed, by_code

_ASKED = b"start\n"
_MOST_BYTES = 1 << 16


class _Ended(msgspec.Struct, frozen=True):
    """How an attempt ended: without a code, well."""

    code: str | None = None
    what: str = ""
    why: str = ""
    fix: str = ""


def ask_to_start(server: socket.socket) -> None:
    """Have the server start a daemon, and wait until it has.

    Raises:
        LocalLLMError: What kept it from starting.
    """
    server.sendall(_ASKED)
    with server.makefile("rb") as answers:
        line = answers.readline(_MOST_BYTES)
    if not line:
        raise StartFailed(
            "The daemon was not started.",
            why="localllm tui --web has ended meanwhile",
            fix="localllm up, in a terminal",
        )
    ended = msgspec.json.decode(line, type=_Ended)
    if ended.code is not None:
        raise by_code(ended.code)(ended.what, why=ended.why, fix=ended.fix)


async def answer_starts(screen: socket.socket, start: Callable[[], None]) -> None:
    """Start a daemon each time that the screen asks for one; ends with the screen."""
    reader, writer = await asyncio.open_connection(sock=screen)
    try:
        while await reader.readline() == _ASKED:
            ended = await anyio.to_thread.run_sync(_attempt, start, abandon_on_cancel=True)
            writer.write(msgspec.json.encode(ended) + b"\n")
            await writer.drain()
    except (ConnectionError, ValueError):
        pass  # it has gone, or talks nonsense
    finally:
        writer.close()


def _attempt(start: Callable[[], None]) -> _Ended:
    try:
        start()
    except LocalLLMError as error:
        return _Ended(error.code, error.what, error.why, error.fix)
    except OSError as error:
        why = error.strerror or str(error)
        return _Ended("start_failed", "The daemon was not started.", why, "localllm up")
    return _Ended()
