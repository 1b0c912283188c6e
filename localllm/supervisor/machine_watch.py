"""Looks at the machine now and then, and acts: devices that are gone, memory, heat, sleep, logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from localllm.engines.base import Task
from localllm.events import DeviceId, InstanceId, Topic
from localllm.events import ModelState as S
from localllm.hardware.machine import CPU, Device
from localllm.hardware.sleep import slept_s
from localllm.hardware.vitals import Pressure, Vitals
from localllm.supervisor import messages as msg
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.keeping import Relief, Stay, decide_unloads
from localllm.supervisor.logs import tend_logs
from localllm.units import duration

_LOOK_WITHIN_S = 30.0
"""A driver may hang; then there is no other look until it comes back."""

_NOTICED_WITHIN_S = 1.0
"""The settings may change how often it is looked."""

_TINY: Mapping[Task, tuple[str, Mapping[str, object]]] = {
    Task.WRITE: (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1, "cache_prompt": False},
    ),
    Task.EMBED: ("/v1/embeddings", {"input": "hi"}),
    Task.RERANK: ("/v1/rerank", {"query": "hi", "documents": ["ho"]}),
}
"""The least that an engine can be asked to do."""

_ALIVE = frozenset({S.STARTING, S.WARMING, S.READY, S.DRAINING, S.BACKOFF})
_RELIEF = {
    Pressure.NONE: Relief.NONE,
    Pressure.WARN: Relief.ONE,
    Pressure.CRITICAL: Relief.ALL,
}
Look = Callable[[Sequence[Device], Vitals | None], Vitals]


@dataclass(slots=True)
class MachineWatch:
    """Runs until cancelled.

    Args:
        look: At the devices given, with the look before; called in a thread.
        awake_gap: Seconds that the computer has slept since it started.
        logs: Files that grow, beside those of the engines.
    """

    fleet: Fleet
    look: Look
    awake_gap: Callable[[], float]
    every_s: float
    logs: Sequence[Path] = ()
    answers_within_s: float = 60.0
    """A tiny request, after the computer has slept."""

    spare_slot: Callable[[InstanceId], int | None] = lambda _: None
    """Which slot of an engine loses least by it; None leaves it to the engine."""

    when_seen: list[Callable[[Vitals], None]] = field(
        default_factory=list[Callable[[Vitals], None]]
    )
    """Told of each look, glances among them."""

    warnings: tuple[str, ...] = ()
    """What is wrong with the machine now, in words."""

    throttled: dict[str, str] = field(default_factory=dict[str, str])
    """By device what slows it down: what is measured now says little."""

    _ended: dict[DeviceId, set[InstanceId]] = field(default_factory=dict[DeviceId, set[InstanceId]])
    """By device that is lost, whom it took along."""

    _known: dict[DeviceId, Device] = field(default_factory=dict[DeviceId, Device])
    """Those that were looked at, since one that is lost is looked at though nobody uses it."""

    _used: Mapping[DeviceId, Device] = field(default_factory=dict[DeviceId, Device])
    """Those with a model at the last turn."""

    _looking: bool = False
    _one_look: anyio.Lock = field(default_factory=anyio.Lock)
    _before: Vitals | None = None
    _glanced: tuple[float, Vitals] | None = None
    """When on the loop's clock, and what was seen without being acted upon."""

    _slept: float | None = None

    @property
    def vitals(self) -> Vitals | None:
        """The newest look; None before the first, or where none has come back."""
        if self._glanced is not None:
            at, seen = self._glanced
            if anyio.current_time() - at < self.every_s:
                return seen
        return self._before

    async def run(self) -> None:
        looked = anyio.current_time()
        while True:
            left_s = looked + self.every_s - anyio.current_time()
            if left_s > 0:
                await anyio.sleep(min(left_s, _NOTICED_WITHIN_S))
                continue
            await self.turn()
            looked = anyio.current_time()

    async def turn(self) -> None:
        """Look once, and act on what is seen."""
        await self._after_sleep()
        vitals = await self._look()
        if vitals is not None:
            self._act_on(vitals)
        self._unload(vitals)
        hosted = self.fleet.instances()
        used = [*self.logs, *(one.log for one in hosted)]
        read = {one.log for one in hosted if one.state is not S.READY}  # how a start goes
        folder = self.fleet.tools.logs
        cut = await anyio.to_thread.run_sync(tend_logs, folder, used, read)
        for log in cut:
            self.fleet.say(Topic.LOG_CUT, f"{log} had grown to its cap")

    async def glance(self, devices: Sequence[Device]) -> None:
        """Look at these, for who watches; acts on nothing, and leaves it where a look is under way.

        What an act is decided by stays that which was seen at the turn before it.
        """
        if self._one_look.locked():
            return
        vitals = await self._look_once(devices, self._before_a_glance())
        if vitals is not None:
            self._glanced = anyio.current_time(), vitals

    async def _look(self) -> Vitals | None:
        """Look at what models use, and once more at what they have used until now.

        After that, a card whose model was unloaded is left alone, so that it can sleep.
        """
        loaded = [h for h in self.fleet.instances() if h.state is not S.STOPPED]
        used = {d.id: d for h in loaded for d, _, _ in h.planned.used}
        until_now, self._used = self._used, used
        lost = {i: d for i, d in self._known.items() if i in self.fleet.lost}
        self._known = {**lost, **until_now, **used}
        return await self._look_once([*self._known.values()], self._before)

    def _before_a_glance(self) -> Vitals | None:
        """What slowed it down counts since the turn, and the processor's work since the last glance."""
        last = None if self._glanced is None else self._glanced[1]
        if self._before is None or last is None:
            return self._before or last
        return replace(self._before, worked=last.worked)

    async def _look_once(self, devices: Sequence[Device], before: Vitals | None) -> Vitals | None:
        """Look in a thread; None where the look before has not come back, or this one does not."""
        async with self._one_look:
            if self._looking:
                return None
            self._looking = True
            with anyio.move_on_after(_LOOK_WITHIN_S):
                seen = await anyio.to_thread.run_sync(
                    self._look_at, [*devices], before, abandon_on_cancel=True
                )
                for tell in self.when_seen:
                    tell(seen)
                return seen
            return None

    def _look_at(self, devices: Sequence[Device], before: Vitals | None) -> Vitals:
        try:
            return self.look(devices, before)
        finally:
            self._looking = False

    def _act_on(self, vitals: Vitals) -> None:
        self._before = vitals
        self._devices(vitals)
        self._heat(vitals)
        self.warnings = (
            *(f"{device} is lost: {why}" for device, why in self.fleet.lost.items()),
            *(f"{device}: {why}" for device, why in self.throttled.items()),
            *(() if vitals.pressure_why is None else (f"memory: {vitals.pressure_why}",)),
        )

    def _devices(self, vitals: Vitals) -> None:
        for device, found in vitals.devices.items():
            if found.lost is not None and device not in self.fleet.lost:
                self._lose(device, found.lost)
            elif device in self.fleet.lost and found.memory_free is not None:
                self._have_back(device)

    def _lose(self, device: DeviceId, why: str) -> None:
        self.fleet.lost[device] = why
        self.fleet.say(Topic.DEVICE_LOST, f"{device}: {why}")
        users = [h for h in self._users_of(device) if h.state in _ALIVE]
        self._ended[device] = {hosted.id for hosted in users}
        for hosted in users:
            hosted.runner.tell(msg.DeviceLost(hosted.runner.record.run))

    def _have_back(self, device: DeviceId) -> None:
        del self.fleet.lost[device]
        self.fleet.say(Topic.DEVICE_BACK, f"{device} answers again")
        ended = self._ended.pop(device, set())
        for hosted in self._users_of(device):
            if hosted.state is S.FAILED and hosted.id in ended:
                self.fleet.start(hosted)

    def _users_of(self, device: DeviceId) -> list[Hosted]:
        return [h for h in self.fleet.instances() if device in {d.id for d, _, _ in h.planned.used}]

    def _heat(self, vitals: Vitals) -> None:
        told: Mapping[str, str | None] = {
            CPU: vitals.throttled,
            **{device: found.throttled for device, found in vitals.devices.items()},
        }
        hot = {device: why for device, why in told.items() if why is not None}
        for device, why in hot.items():
            if device not in self.throttled:
                self.fleet.say(Topic.THROTTLED, f"{device}: {why}")
        for device in self.throttled.keys() - hot.keys():
            self.fleet.say(Topic.THROTTLED, f"{device} is at full speed again")
        self.throttled = hot

    def _unload(self, vitals: Vitals | None) -> None:
        relief = Relief.NONE if vitals is None else _RELIEF[vitals.pressure]
        why = None if vitals is None else vitals.pressure_why
        idle = {
            h.id: h
            for h in self.fleet.instances()
            if h.takes_requests() and not h.in_flight and not h.waiting
        }
        stays = [_stay(hosted) for hosted in idle.values()]
        unloads = decide_unloads(stays, relief, why, anyio.current_time())
        if relief is not Relief.NONE and unloads:
            self.fleet.say(Topic.PRESSURE, why or "")
        for unload in unloads:
            self.fleet.unload(idle[unload.id], unload.why)

    async def _after_sleep(self) -> None:
        """See whether engines still answer: drivers lose their state when a computer sleeps."""
        gap, before = self.awake_gap(), self._slept
        self._slept = gap
        slept = 0.0 if before is None else slept_s(before, gap)
        if not slept:
            return
        self.fleet.say(Topic.WOKE, f"the computer slept for {duration(slept)}")
        async with anyio.create_task_group() as checks:
            for hosted in self.fleet.instances():
                if hosted.takes_requests():
                    checks.start_soon(self._check, hosted)

    async def _check(self, hosted: Hosted) -> None:
        run, client = hosted.runner.record.run, self.fleet.client_of(hosted)
        if client is None or hosted.in_flight:  # what is at work is the watchdog's
            return
        path, tiny = _TINY[hosted.serving.task]
        slot = self.spare_slot(hosted.id)
        body = tiny if slot is None else {**tiny, "id_slot": slot}
        with anyio.move_on_after(self.answers_within_s):
            if await client.still_answers(path, body):
                return
        self.fleet.say(Topic.HUNG, "it does not answer after the sleep: started again", hosted)
        hosted.runner.tell(msg.Hung(run))


def _stay(hosted: Hosted) -> Stay:
    shared = {CPU, *(d.id for d, _, _ in hosted.planned.used if d.unified)}
    return Stay(
        id=hosted.id,
        used_at=hosted.used_at,
        keep_s=hosted.terms.keep_s,
        pinned=hosted.pinned,
        host_bytes=sum(count for device, count in hosted.taken.items() if device in shared),
    )
