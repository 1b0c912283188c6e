"""Sockets that the system has opened for the daemon: the first request started it.

Source: sd_listen_fds(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, MutableMapping, Sequence
from contextlib import contextmanager

from localllm.errors import ConfigError

_FIRST = 3
_COURTESY = "::1"
"""A machine without IPv6 goes without."""


def take_sockets(environment: MutableMapping[str, str]) -> tuple[socket.socket, ...]:
    """Take over what was opened for this process, and the variables that say so."""
    meant_for = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if meant_for != str(os.getpid()) or not count.isdecimal():
        return ()
    taken = list[socket.socket]()
    for number in range(_FIRST, _FIRST + int(count)):
        os.set_inheritable(number, False)  # noqa: FBT003  # the engines' it is not
        taken.append(socket.socket(fileno=number))
    return tuple(taken)


@contextmanager
def adopted(
    taken: Sequence[socket.socket], port: int, addresses: Sequence[str]
) -> Generator[list[socket.socket]]:
    """Listen on sockets that the system has opened, if they are those that the settings want.

    Raises:
        ConfigError: They are others: the settings were changed since.
    """
    try:
        opened = {_place_of(one) for one in taken}
        wanted = {(one, port) for one in addresses}
        if not wanted - {(_COURTESY, port)} <= opened <= wanted:
            raise ConfigError(
                f"The settings want port {port} on {', '.join(addresses)}.",
                why="the service's socket is "
                + ", ".join(f"{a} port {p}" for a, p in sorted(opened)),
                fix="localllm service install --socket writes it anew",
            )
        yield list(taken)
    finally:
        for one in taken:
            one.close()


def _place_of(one: socket.socket) -> tuple[str, int]:
    """Say where it listens; one that is not of the network listens nowhere that is wanted."""
    if one.family not in {socket.AF_INET, socket.AF_INET6}:
        return str(one.getsockname()), 0
    address, port, *_ = one.getsockname()
    return address, port
