"""What the system that starts the daemon has given it: whom to tell, and sockets."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Generator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from localllm.service.activation import adopted, take_sockets
from localllm.service.notify import Notifier, take_notifier


@dataclass(frozen=True, slots=True)
class System:
    """Nothing of it, where a person has started the daemon."""

    notifier: Notifier = field(default_factory=Notifier)
    sockets: tuple[socket.socket, ...] = ()

    @contextmanager
    def adopted(self, port: int, addresses: Sequence[str]) -> Generator[list[socket.socket]]:
        """See `activation.adopted`."""
        with adopted(self.sockets, port, addresses) as sockets:
            yield sockets


_FOR_ONE = frozenset(
    {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}
)


def of_no_service(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out what is meant for the service in which somebody starts a daemon, as from its shell."""
    return {name: value for name, value in environment.items() if name not in _FOR_ONE}


def take_system(environment: MutableMapping[str, str]) -> System:
    """Take over what is meant for this process alone; the engines that it starts see none of it."""
    return System(take_notifier(environment), take_sockets(environment))


def log_into(file: Path) -> None:
    """Have all that this process says go to a file, whatever its outputs were."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
