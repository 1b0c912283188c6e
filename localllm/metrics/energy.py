"""Counts the energy of devices from look to look, and says whose it was.

Pure but for the clocks. Takes every look that the daemon makes anyway, so that nothing is asked of a
device for it, and none is woken. Energy of a time that nobody looked at, before the daemon was started
for instance, is nobody's.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from localllm.events import DeviceId, InstanceId
from localllm.hardware.energy import EnergyReading, Spent, Way, decide_spent
from localllm.metrics.energy_row import DeviceUse, EnergyRow, ModelUse, Sums
from localllm.metrics.energy_shares import Work, busy_by, decide_shares
from localllm.metrics.live import Api, Live
from localllm.metrics.savings import REMOTE, day_of

_IDLE_LOOKS = 31
_MOST_ENDED = 5_000
_CLOCKS_APART_S = 5.0
"""The wall clock went on and the other did not: the computer has slept, or a clock was set."""

_WRITE_EVERY_S = 60.0
"""Sooner once a request is over, so that its energy can be looked up."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an instance is."""

    devices: frozenset[DeviceId]
    ready: bool
    """And not loading."""


@dataclass(frozen=True, slots=True)
class Total:
    """What a device used since the daemon was started, as far as it was looked at."""

    joules: float
    at: float
    """When it was read, in Unix seconds."""


@dataclass(slots=True)
class _Device:
    """What is remembered of one device. Mutable."""

    reading: EnergyReading
    at: float
    """When that was read; like `told_since` on the monotonic clock."""

    told_since: float
    joules: float = 0.0


@dataclass(slots=True)
class _Took:
    """What a request has taken so far. Mutable."""

    joules: float = 0.0
    busy_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    wall: float
    placed: Mapping[InstanceId, Placed]

    def on(self, device: DeviceId) -> Sequence[Placed]:
        return [place for place in self.placed.values() if device in place.devices]


@dataclass(slots=True)
class EnergyMeter:
    """Mutable, and used on the event loop alone.

    Args:
        under_way: The requests that are.
        placed: Who is in memory, and where.
        client_of: One of a bounded number of names.
        keep: What is to be added to the ledger.
        idle_w: What devices used idle, as far as earlier daemons have seen it.
    """

    under_way: Callable[[], Sequence[Live]]
    placed: Callable[[], Mapping[InstanceId, Placed]]
    client_of: Callable[[Live], str]
    keep: Callable[[Sequence[EnergyRow]], None]
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    idle_w: dict[str, float] = field(default_factory=dict[str, float])
    _devices: dict[DeviceId, _Device] = field(default_factory=dict[DeviceId, _Device])
    _idle: dict[DeviceId, deque[float]] = field(default_factory=dict[DeviceId, deque[float]])
    _ended: deque[Live] = field(default_factory=lambda: deque(maxlen=_MOST_ENDED))
    """Those that were under way after the last look."""

    _unmeasured: deque[Live] = field(default_factory=lambda: deque(maxlen=_MOST_ENDED))
    """Those that have ended since the last look."""

    _took: dict[str, _Took] = field(default_factory=dict[str, _Took])
    """By request; kept until it is over, since only then it is known whether all of it was told."""

    _last: _Look | None = None
    _sums: Sums = field(default_factory=Sums)
    _written_at: float = 0.0

    def finished(self, live: Live) -> None:
        """Take in a request that is over."""
        if _is_ours(live):
            self._ended.append(live)
            self._unmeasured.append(live)

    def saw(self, energy: Mapping[DeviceId, EnergyReading]) -> None:
        """Take in a look."""
        last, now = self._last, _Look(self.clock(), self.wall_clock(), self.placed())
        self._last = now
        if last is None or _slept(last, now):
            self._begin_anew(energy, now)
            return
        spent = {device: self._spend(device, one, last, now) for device, one in energy.items()}
        self._count_busy(last, now)
        for device in _loaded(last, now):
            self._count_device(device, spent.get(device), last, now)
        for device, reading in energy.items():
            self._remember(device, reading, now, told=spent[device] is not None)
        self._measure_ended(last, now)
        self._forget_ended(now)
        self._write(now)

    def totals(self) -> Mapping[DeviceId, Total]:
        """What is known of each device that tells."""
        past = 0.0 if self._last is None else self._last.wall - self._last.at
        return {d: Total(one.joules, one.at + past) for d, one in self._devices.items()}

    def flush(self) -> None:
        """Have what was counted written."""
        rows = self._sums.take()
        if rows:
            self.keep(rows)

    def _spend(
        self, device: DeviceId, reading: EnergyReading, last: _Look, now: _Look
    ) -> Spent | None:
        """Say what a device used since the last look; what it used before that is in its total."""
        before = self._devices.get(device)
        if before is None:
            return None
        spent = decide_spent(before.reading, reading, now.at - before.at)
        if spent is not None:
            before.joules += spent.joules
        return spent if before.at == last.at else None

    def _count_busy(self, last: _Look, now: _Look) -> None:
        for request, seconds in busy_by(self._works(last.at, now.at)).items():
            self._took.setdefault(request, _Took()).busy_s += seconds

    def _count_device(self, device: DeviceId, spent: Spent | None, last: _Look, now: _Look) -> None:
        day, loaded_s = day_of(now.wall), now.at - last.at
        if spent is None:
            self._sums.add(DeviceUse(day, device, loaded_s, 0.0, 0.0, 0.0, 0.0))
            return
        places = {**last.placed, **now.placed}
        here = {i for i, one in places.items() if device in one.devices}
        works = [work for work in self._works(last.at, now.at) if work.instance in here]
        shares = decide_shares(spent.joules, works, loaded_s, self._idle_w(device))
        were_ready = all(one.ready for look in (last, now) for one in look.on(device))
        if not works and were_ready:
            looks = self._idle.setdefault(device, deque(maxlen=_IDLE_LOOKS))
            looks.append(spent.joules / loaded_s)
        sampled_s = loaded_s if spent.way is Way.SAMPLED else 0.0
        use = DeviceUse(day, device, loaded_s, loaded_s, sampled_s, spent.joules, shares.idle)
        self._sums.add(use)
        for request, joules in shares.by.items():
            self._took.setdefault(request, _Took()).joules += joules

    def _idle_w(self, device: DeviceId) -> float | None:
        seen = self._idle.get(device)
        return median(seen) if seen else self.idle_w.get(device)

    def _measure_ended(self, last: _Look, now: _Look) -> None:
        """Count those requests whose energy is known from beginning to end."""
        places = {**last.placed, **now.placed}
        for live in self._unmeasured:
            place = places.get(InstanceId(live.instance or ""))
            devices = () if place is None else place.devices
            if devices and all(self._is_told(device, live, now) for device in devices):
                took = self._took.get(live.id, _Took())
                self._sums.add(_use(live, self.client_of(live), took))
        self._unmeasured.clear()

    def _is_told(self, device: DeviceId, live: Live, now: _Look) -> bool:
        known = self._devices.get(device)
        if known is None or known.at < now.at:
            return False
        return known.told_since <= (live.admitted_at or 0.0)

    def _works(self, start: float, end: float) -> list[Work]:
        found = []
        for live in (*self._ended, *self.under_way()):
            work = self._work(live, end)
            part = None if work is None else work.within(start, end)
            if part is not None:
                found.append(part)
        return found

    def _work(self, live: Live, now: float) -> Work | None:
        if not _is_ours(live) or live.admitted_at is None:
            return None
        until = now if live.ended_at is None else live.ended_at
        return Work(live.instance or "", live.id, live.admitted_at, until)

    def _remember(
        self, device: DeviceId, reading: EnergyReading, now: _Look, *, told: bool
    ) -> None:
        known = self._devices.get(device)
        since = now.at if known is None or not told else known.told_since
        joules = 0.0 if known is None else known.joules
        self._devices[device] = _Device(reading, now.at, since, joules)

    def _begin_anew(self, energy: Mapping[DeviceId, EnergyReading], now: _Look) -> None:
        self._unmeasured.clear()
        self._forget_ended(now)
        for device, reading in energy.items():
            self._remember(device, reading, now, told=False)

    def _forget_ended(self, now: _Look) -> None:
        while self._ended and (self._ended[0].ended_at or 0.0) <= now.at:
            self._ended.popleft()
        under_way = {live.id for live in self.under_way()}
        self._took = {request: took for request, took in self._took.items() if request in under_way}

    def _write(self, now: _Look) -> None:
        waited_s = now.at - self._written_at
        if waited_s >= _WRITE_EVERY_S or self._sums.has_requests:
            self._written_at = now.at
            self.flush()


def _is_ours(live: Live) -> bool:
    elsewhere = live.engine == REMOTE or live.api is Api.COUNT_TOKENS
    return live.instance is not None and not elsewhere


def _slept(last: _Look, now: _Look) -> bool:
    return abs((now.wall - last.wall) - (now.at - last.at)) > _CLOCKS_APART_S


def _loaded(last: _Look, now: _Look) -> Sequence[DeviceId]:
    """Devices that a model was on, at either look."""
    places = (*last.placed.values(), *now.placed.values())
    return sorted({device for place in places for device in place.devices})


def _use(live: Live, client: str, took: _Took) -> ModelUse:
    return ModelUse(
        day_of(live.began_at),
        live.model or "",
        client,
        took.joules,
        took.busy_s,
        live.prompt_tokens or 0,
        live.cached_tokens or 0,
        live.generated_tokens,
    )
