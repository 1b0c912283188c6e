"""The machine as it is made: probed when somebody first asks, since it stays so as long as we run."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from localllm.hardware.machine import Machine


class KnownMachine:
    """What is free of it is no use later; its devices, their size and their names are.

    Args:
        probe: Blocks; called once.
    """

    def __init__(self, probe: Callable[[], Machine]) -> None:
        self._probe = probe
        self._machine: Machine | None = None
        self._one_at_a_time = anyio.Lock()

    async def get(self) -> Machine:
        async with self._one_at_a_time:
            if self._machine is None:
                self._machine = await anyio.to_thread.run_sync(self._probe)
            return self._machine
