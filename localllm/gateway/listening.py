"""The sockets that the gateway listens on, and the server behind them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

import anyio
from aiohttp import web

from localllm.errors import PortTaken

_BACKLOG = 512
_GOODBYE_S = 2.0


@asynccontextmanager
async def serving(app: web.Application, sockets: list[socket.socket]) -> AsyncIterator[None]:
    """Serve an application on sockets that are bound, for as long as the block runs."""
    runner = web.AppRunner(
        app,
        handle_signals=False,
        access_log=None,
        handler_cancellation=True,  # a client that goes away ends its generation
        shutdown_timeout=_GOODBYE_S,
        keepalive_timeout=75.0,
    )
    await runner.setup()
    try:
        for one in sockets:
            await web.SockSite(runner, one, backlog=_BACKLOG).start()
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


@contextmanager
def bound(port: int) -> Generator[list[socket.socket]]:
    """Listen on loopback, both families where the machine has both.

    Raises:
        PortTaken: Another program has the port.
    """
    sockets = [_listen(socket.AF_INET, "127.0.0.1", port)]
    with suppress(OSError, PortTaken):  # IPv6 is a courtesy to clients that try ::1 first
        sockets.append(_listen(socket.AF_INET6, "::1", sockets[0].getsockname()[1]))
    try:
        yield sockets
    finally:
        for one in sockets:
            one.close()


def _listen(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind((address, port))
    except OSError as error:
        one.close()
        raise PortTaken(
            f"Port {port} on {address} cannot be had.",
            why=f"another program listens there ({error.strerror})",
            fix="localllm up --port N, or end the other program",
        ) from error
    return one
