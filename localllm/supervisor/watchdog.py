"""Looks after engines that are at work: whether they get on, and how full their cache is."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import psutil

from localllm.engine_client.slots import Slots, look_at_slots
from localllm.events import InstanceId, Topic
from localllm.events import ModelState as S
from localllm.supervisor import messages as msg
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted

_LOOK_EVERY_S = 1.0
_ANSWERS_WITHIN_S = 1.0
_AT_WORK = frozenset({S.READY, S.DRAINING})


@dataclass(frozen=True, slots=True)
class _Seen:
    """What shows that an engine gets on; any change will do."""

    run: int
    moved: int
    """What it has sent."""

    slots: int | None
    """Tokens that it has read and written, as it tells; None where it does not."""

    computed_s: int | None
    """Of the processor, for those that compute there; a driver may wait busily for a dead card."""


@dataclass(slots=True)
class Watchdog:
    """Runs until cancelled.

    Args:
        hang_after_s: How long an engine may show no progress at all; the settings may change it.
    """

    fleet: Fleet
    hang_after_s: float
    _still_since: dict[InstanceId, tuple[_Seen, float]] = field(
        default_factory=dict[InstanceId, tuple[_Seen, float]]
    )

    async def run(self) -> None:
        while True:
            await anyio.sleep(_LOOK_EVERY_S)
            at_work = [h for h in self.fleet.instances() if _is_at_work(h)]
            working = {hosted.id for hosted in at_work}
            self._still_since = {i: s for i, s in self._still_since.items() if i in working}
            async with anyio.create_task_group() as looks:
                for hosted in at_work:
                    looks.start_soon(self._look_at, hosted)

    async def _look_at(self, hosted: Hosted) -> None:
        slots = await self._slots(hosted)
        if slots is not None:
            hosted.told_tokens = sum(slots.tokens)
            hosted.lobby.correct(slots.tokens)
            hosted.admit()
        before, since = self._still_since.get(hosted.id, (None, 0.0))
        seen = _see(hosted, slots, before)
        now = anyio.current_time()
        is_idle = slots is not None and not slots.tokens  # it answers, and has nothing to do
        if seen != before or is_idle:
            self._still_since[hosted.id] = seen, now
        elif now - since >= self.hang_after_s:
            self._end(hosted)

    def _end(self, hosted: Hosted) -> None:
        self._still_since.pop(hosted.id, None)
        self.fleet.say(
            Topic.HUNG,
            f"no progress for {self.hang_after_s:.0f} s with {hosted.in_flight} requests: "
            "it is ended and started again",
            hosted,
        )
        hosted.runner.tell(msg.Hung(hosted.runner.record.run))

    async def _slots(self, hosted: Hosted) -> Slots | None:
        client = self.fleet.client_of(hosted)
        with anyio.move_on_after(_ANSWERS_WITHIN_S):
            return None if client is None else await look_at_slots(client)
        return None


def _is_at_work(hosted: Hosted) -> bool:
    """Whether something is owed by the engine: what clients do not read is not."""
    return hosted.state in _AT_WORK and hosted.in_flight > hosted.flow.blocked


def _see(hosted: Hosted, slots: Slots | None, before: _Seen | None) -> _Seen:
    told = slots.progress if slots is not None else None if before is None else before.slots
    by_processor = told is None or not hosted.planned.on_devices_alone
    return _Seen(
        run=hosted.runner.record.run,
        moved=hosted.flow.moved,
        slots=told,
        computed_s=_computed_s(hosted.runner.record.pid) if by_processor else None,
    )


def _computed_s(pid: int | None) -> int | None:
    try:
        times = None if pid is None else psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return None if times is None else int(times.user + times.system)
