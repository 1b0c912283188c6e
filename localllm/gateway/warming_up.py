"""Sees engines become ready, and has them read or get back what will be asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from localllm.engine_client.client import EngineClient
from localllm.engines.base import LaunchSpec
from localllm.events import InstanceId, ModelState, StateChanged
from localllm.gateway.placing import Placing
from localllm.prefix.warming import Warming
from localllm.supervisor.fleet import Fleet

_log = logging.getLogger(__name__)

_GONE = frozenset({ModelState.BACKOFF, ModelState.STOPPED, ModelState.FAILED})


@dataclass(frozen=True, slots=True)
class WarmingUp:
    """Runs until cancelled."""

    fleet: Fleet
    connect: Callable[[LaunchSpec], EngineClient]
    placing: Placing
    warming: Warming

    async def run(self) -> None:
        with self.fleet.tools.bus.subscribe() as events:
            async with anyio.create_task_group() as tasks:
                async for envelope in events:
                    match envelope.event:
                        case StateChanged(instance=instance, new=ModelState.READY):
                            tasks.start_soon(self._warm, instance)
                        case StateChanged(instance=instance, new=new) if new in _GONE:
                            self.warming.keeping.forget(instance)
                        case _:
                            pass

    async def _warm(self, instance: InstanceId) -> None:
        hosted = next((one for one in self.fleet.instances() if one.id == instance), None)
        if hosted is None or not hosted.takes_requests():  # it may be another run that loads
            return
        client = hosted.client(self.connect)
        if client is None:
            return
        try:
            engine = await self.placing.engine(hosted, client)
            if engine is not None:
                await self.warming.warm(engine)
        except Exception:  # noqa: BLE001  # what serves is not to end for it
            _log.exception("prompts are not made ready: instance=%s", instance)
