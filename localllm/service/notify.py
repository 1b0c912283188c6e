"""What the daemon tells systemd: datagrams to the socket that NOTIFY_SOCKET names.

Without that variable nothing is told, so that a daemon started in any other way is the same.
Twenty lines of our own: the libraries for it are unmaintained, or bind libsystemd, which not
every system has. Source: sd_notify(3), whose protocol is promised to stay.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass

import anyio

_MICRO = 1_000_000
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Notifier:
    """Tells systemd how the daemon is; losing a message is no failure of ours."""

    address: str | None = None
    watchdog_s: float | None = None
    """How long silence is borne; None: for ever."""

    def ready(self) -> None:
        """Say that it listens, at first and after `reloading`."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Give `systemctl status` its line."""
        self._send(_status(text))

    def reloading(self) -> None:
        """Say that settings are being read again; `ready` says that they are."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self, within_s: float) -> None:
        """Say that it ends, and how long that may take."""
        self._send(
            "STOPPING=1",
            f"EXTEND_TIMEOUT_USEC={int(within_s * _MICRO)}",
            _status("it finishes the running requests"),
        )

    async def keep_alive(self) -> None:
        """Say thrice in the time that silence is borne that the event loop turns, until cancelled."""
        if self.address is None or self.watchdog_s is None:
            return
        while True:
            self._send("WATCHDOG=1")
            await anyio.sleep(self.watchdog_s / 3)

    def _send(self, *lines: str) -> None:
        if self.address is None:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.settimeout(0)  # a full inbox must not hold the event loop
            name = self.address
            to.connect(f"\0{name[1:]}" if name.startswith("@") else name)
            to.send("\n".join(lines).encode(errors="replace"))


def take_notifier(environment: MutableMapping[str, str]) -> Notifier:
    """Find whom to tell, and take the variables away: engines are not to tell anything."""
    address = environment.pop("NOTIFY_SOCKET", None)
    period = environment.pop("WATCHDOG_USEC", "")
    meant_for = environment.pop("WATCHDOG_PID", "")
    is_ours = meant_for in {"", str(os.getpid())}
    if not address or address[0] not in "/@":
        return Notifier()
    has_watchdog = is_ours and period.isdecimal() and int(period) > 0
    return Notifier(address, int(period) / _MICRO if has_watchdog else None)


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}"[:_MOST_BYTES]
