"""The sockets that the gateway listens on, and the server behind them."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

import anyio
from aiohttp import web

from localllm.errors import NoSuchAddress, PortTaken
from localllm.gateway.bodies import PACE, Pace
from localllm.gateway.connection import Connection, Crowd, Limits, expecting_little

_BACKLOG = 512
_GOODBYE_S = 2.0
_LOCAL = ("127.0.0.1", "::1")
_COURTESY = "::1"
"""For clients that try it first; a machine without IPv6 goes without."""

_FILES_EACH = 2
"""Of a connection: its own, and the one to the engine."""

_FILES_BESIDE = 512


@asynccontextmanager
async def serving(
    app: web.Application,
    sockets: list[socket.socket],
    limits: Limits = Limits(),  # noqa: B008  # frozen
    pace: Pace = Pace(),  # noqa: B008
    most: Callable[[], int] | None = None,
) -> AsyncIterator[None]:
    """Serve an application on sockets that are bound, for as long as the block runs.

    Args:
        most: How many connections there may be now; None: as many as `limits` says.
    """
    app[PACE] = pace
    runner = web.AppRunner(
        app,
        handle_signals=False,
        handler_cancellation=True,  # a client that goes away ends its generation
        shutdown_timeout=_GOODBYE_S,
    )
    await runner.setup()
    server = runner.server
    assert server is not None
    server.request_handler = expecting_little(server.request_handler)
    crowd = Crowd(most or (lambda: limits.most))

    def connection() -> Connection:
        return Connection(
            server,
            crowd,
            limits,
            access_log=None,
            auto_decompress=False,  # bodies.py does
            keepalive_timeout=limits.idle_s,
            lingering_time=limits.linger_s,
        )

    loop, listening = asyncio.get_running_loop(), list[asyncio.Server]()
    try:
        for one in sockets:
            listening.append(await loop.create_server(connection, sock=one, backlog=_BACKLOG))
        yield
    finally:
        for accepting in listening:
            accepting.close()
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


@contextmanager
def bound(port: int, addresses: Sequence[str] = _LOCAL) -> Generator[list[socket.socket]]:
    """Listen on the addresses, with one port for all.

    Raises:
        PortTaken: Another program has the port.
        NoSuchAddress: This machine has it not, or not yet.
    """
    sockets = list[socket.socket]()
    try:
        for address in addresses:
            with suppress(*((OSError, PortTaken, NoSuchAddress) if address == _COURTESY else ())):
                sockets.append(_listen(address, port))
                port = sockets[0].getsockname()[1]
        yield sockets
    finally:
        for one in sockets:
            one.close()


def _listen(address: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    family, _, _, _, place = found[0]
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:  # IPv4 has a socket of its own, and addresses that look like it
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        one.bind(place)
    except OSError as error:
        one.close()
        raise _refused(address, port, error) from error
    return one


def _refused(address: str, port: int, error: OSError) -> PortTaken | NoSuchAddress:
    if error.errno == errno.EADDRNOTAVAIL:
        return NoSuchAddress(
            f"The daemon cannot listen on {address}.",
            why=f"this machine has no such address ({error.strerror})",
            fix="set listen to one that `ip addr` or `ifconfig` shows, or take it out",
        )
    return PortTaken(
        f"Port {port} on {address} cannot be had.",
        why=f"another program listens there ({error.strerror})",
        fix="localllm up --port N, or end the other program",
    )


def allow_connections(most: int) -> None:
    """Have the system let this process open as many files as so many connections take.

    Systems start programs with 256 (macOS) or 1024 at once, and allow more to who asks.
    """
    wanted = most * _FILES_EACH + _FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with suppress(OSError, ValueError):  # as it is, then: who is too many is turned away
        least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
