"""Looks at the machine more often while somebody watches it; acts on nothing that it sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from localllm.hardware.machine import Device
from localllm.supervisor.machine_watch import MachineWatch


@dataclass(slots=True)
class Glances:
    """Runs until cancelled; asks no driver while nobody watches.

    Args:
        stays_s: How long somebody is taken to watch after they have asked.
    """

    watch: MachineWatch
    every_s: float = 1.0
    stays_s: float = 10.0
    _devices: Sequence[Device] = ()
    _until: float = -math.inf
    """On the loop's clock."""

    _asked: anyio.Event = field(default_factory=anyio.Event)

    def wanted(self, devices: Sequence[Device]) -> None:
        """Somebody watches these devices; returns at once."""
        self._devices = devices
        self._until = anyio.current_time() + self.stays_s
        self._asked.set()

    async def run(self) -> None:
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            while anyio.current_time() < self._until:
                await self.watch.glance(self._devices)
                await anyio.sleep(self.every_s)
