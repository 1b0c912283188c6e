"""How fast bytes may come: a limit for all connections together, which may change at any time."""

from __future__ import annotations

import anyio

_BURST_S = 0.25
_LOOK_AGAIN_S = 0.25
"""Whoever waits sees so soon that the rate has changed."""

_LEAST_BYTES_PER_S = 1.0
_WORTH_BYTES_PER_S = 256 << 10
"""Of a connection: one that reads more slowly holds more back than it brings, and may be hung up on."""


class Pace:
    """Keeps those who take bytes to a rate.

    Args:
        bytes_per_s: None: no limit. May be set from any thread.
    """

    def __init__(self, bytes_per_s: float | None = None) -> None:
        self.bytes_per_s = bytes_per_s
        self._owed_bytes = 0.0
        """Taken, and not within the rate yet; below 0, what may come at once."""

        self._settled_at: float | None = None

    def connections(self, most: int) -> int:
        """Say how many are worth having at this rate."""
        if self.bytes_per_s is None:
            return most
        return max(1, min(most, int(self.bytes_per_s / _WORTH_BYTES_PER_S)))

    async def took(self, count: int) -> None:
        """Wait until so many more bytes are within the rate."""
        if self.bytes_per_s is None:
            self._settled_at = None
            # where bytes come faster than they are taken, a cancellation would wait for the last
            await anyio.lowlevel.checkpoint_if_cancelled()
            return
        self._settle()
        self._owed_bytes += count
        while (wait_s := self._settle()) > 0:
            await anyio.sleep(min(wait_s, _LOOK_AGAIN_S))

    def _settle(self) -> float:
        """Let the time that has passed pay for bytes; say how long the rest takes."""
        now, rate = anyio.current_time(), self.bytes_per_s
        if rate is None:
            self._settled_at = None
            return 0.0
        rate = max(rate, _LEAST_BYTES_PER_S)
        if self._settled_at is None:
            self._owed_bytes, self._settled_at = 0.0, now
        paid = (now - self._settled_at) * rate
        self._owed_bytes = max(self._owed_bytes - paid, -rate * _BURST_S)
        self._settled_at = now
        return self._owed_bytes / rate
