"""How fast bytes may come: a limit for all connections together, which may change at any time."""

from __future__ import annotations

import anyio

_BURST_S = 0.25


class Pace:
    """Keeps those who take bytes to a rate.

    Args:
        bytes_per_s: None: no limit.
    """

    def __init__(self, bytes_per_s: float | None = None) -> None:
        self.bytes_per_s = bytes_per_s
        self._free_at = 0.0

    async def took(self, count: int) -> None:
        """Wait until so many more bytes are within the rate."""
        if self.bytes_per_s is None:
            return
        now = anyio.current_time()
        self._free_at = max(self._free_at, now - _BURST_S) + count / self.bytes_per_s
        if self._free_at > now:
            await anyio.sleep(self._free_at - now)
