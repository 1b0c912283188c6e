"""Who may have the memory next: asks the scheduler, and carries out what it decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import anyio

from localllm.events import Decided, DeviceId, InstanceId, Topic
from localllm.events import ModelState as S
from localllm.supervisor import messages as msg
from localllm.supervisor.bus import EventBus
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.scheduler import Drain, Refuse, Resident, Serve, Start, Wait, decide
from localllm.supervisor.succession import Successions

_MAX_WAIT_S = 60.0
"""After this a model that waits has the least recently used busy one drained."""

AT_REST = frozenset({S.STOPPED, S.FAILED})
UP = frozenset({S.STARTING, S.WARMING, S.READY, S.BACKOFF})


@dataclass(slots=True)
class Grants:
    """Mutable, and owned by the fleet alone.

    Args:
        hosted: The fleet's own table, which it changes.
    """

    hosted: Mapping[InstanceId, Hosted]
    successions: Successions
    bus: EventBus
    budget: dict[DeviceId, int] = field(default_factory=dict[DeviceId, int])
    """Bytes that all instances together may take of each device."""

    closing: bool = False
    _wanted: dict[InstanceId, float] = field(default_factory=dict[InstanceId, float])
    """Since when, the longest first."""

    _said: dict[InstanceId, str] = field(default_factory=dict[InstanceId, str])
    """Why each waits, as last published."""

    def want(self, hosted: Hosted) -> None:
        """Have it started as soon as the memory is there."""
        hosted.refused = None
        self._wanted.setdefault(hosted.id, anyio.current_time())
        self.schedule()

    def give_up(self, instance: InstanceId) -> None:
        self._wanted.pop(instance, None)
        self._said.pop(instance, None)

    def give_up_all(self) -> None:
        self.closing = True
        self._wanted.clear()

    def is_wanted(self, instance: InstanceId) -> bool:
        return instance in self._wanted

    def why_it_waits(self, instance: InstanceId) -> str | None:
        return self._said.get(instance) if instance in self._wanted else None

    def schedule(self) -> None:
        """Ask the scheduler for each that wants to run, the longest waiter first."""
        for wanted in list(self._wanted):
            hosted = self.hosted.get(wanted)
            if hosted is None or self.closing or self._granted(hosted):
                self.give_up(wanted)

    def needs_room(self, hosted: Hosted) -> bool:
        """Tell whether others have to be stopped before it starts."""
        decision = decide(
            hosted.id, self.budget, self._residents(hosted), waited_s=0.0, max_wait_s=math.inf
        )
        return isinstance(decision, Wait | Drain) or (
            isinstance(decision, Start) and bool(decision.evict)
        )

    def ask_to_stop(self, hosted: Hosted, why: str) -> None:
        hosted.leaving = hosted.state not in AT_REST or hosted.granted
        hosted.runner.tell(msg.StopAsked(why, hosted.in_flight))

    def _granted(self, hosted: Hosted) -> bool:
        """Carry out one decision; True when there is nothing more to ask for."""
        waited_s = anyio.current_time() - self._wanted[hosted.id]
        if self.successions.old_of(hosted.id):  # a person has decided that the other one goes
            waited_s = math.inf
        decision = decide(
            hosted.id,
            self.budget,
            self._residents(hosted),
            waited_s=waited_s,
            max_wait_s=_MAX_WAIT_S,
        )
        match decision:
            case Start(evict=()):
                hosted.granted_run = hosted.runner.record.run + 1
                hosted.runner.tell(msg.StartAsked())
                return True
            case Start(evict) | Drain(evict):
                for one in evict:
                    self._evict(self.hosted[one], hosted)
                return False
            case Refuse(why):
                hosted.refused = why
                self._say(Topic.REFUSED, hosted, why)
                hosted.announce()
                return True
            case Wait(why):
                self._say_once(hosted, why)
                return hosted.state in UP and not hosted.leaving
            case Serve():
                return True

    def _residents(self, hosted: Hosted) -> dict[InstanceId, Resident]:
        residents = {h.id: h.as_resident() for h in self.hosted.values()}
        if hosted.terms.is_guest:
            residents = {i: replace(r, pinned=True) for i, r in residents.items()}
        for old in self.successions.old_of(hosted.id) & residents.keys():
            residents[old] = replace(residents[old], used_at=-math.inf)
        if hosted.state is S.FAILED:  # asked for again: as good as stopped
            residents[hosted.id] = replace(residents[hosted.id], state=S.STOPPED)
        return residents

    def _evict(self, hosted: Hosted, for_: Hosted) -> None:
        busy = "drained" if hosted.in_flight else "idle"
        why = f"makes room for {for_.id} ({busy}, used least recently)"
        self._say(Topic.EVICTED, hosted, why)
        self.successions.made_room(for_.id, hosted.id, anyio.current_time())
        self.ask_to_stop(hosted, f"makes room for {for_.id}")

    def _say_once(self, hosted: Hosted, why: str) -> None:
        if self._said.get(hosted.id) != why:
            self._said[hosted.id] = why
            self._say(Topic.WAITS, hosted, why)

    def _say(self, topic: Topic, hosted: Hosted, why: str) -> None:
        self.bus.publish(Decided(topic, why, hosted.planned.model, hosted.id))
