"""Who takes over from whom, and how long nobody served in between. Pure: times are arguments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from localllm.events import InstanceId


@dataclass(slots=True)
class Succession:
    """One instance that is on its way to take over."""

    old: frozenset[InstanceId]
    """Who serves until then, if there is memory for both; who serves again if it fails."""

    evicted: set[InstanceId] = field(default_factory=set[InstanceId])
    """Of `old`, those that had to make room before the new one was ready."""

    gap_from: float | None = None
    """Since when none of them takes requests; None while one does."""


@dataclass(slots=True)
class Successions:
    """All that are going on."""

    _by_new: dict[InstanceId, Succession] = field(default_factory=dict[InstanceId, Succession])

    def begin(self, new: InstanceId, old: Iterable[InstanceId]) -> None:
        """Have `new` take over from `old`; nothing begins if there is nobody."""
        heirs, before = frozenset(old), self._by_new.get(new)
        if not heirs:
            return
        self._by_new[new] = Succession(heirs)
        if before is not None and before.evicted & heirs:  # asked for again in the middle of it
            self._by_new[new].evicted = before.evicted & heirs
            self._by_new[new].gap_from = before.gap_from

    def old_of(self, new: InstanceId) -> frozenset[InstanceId]:
        succession = self._by_new.get(new)
        return frozenset() if succession is None else succession.old

    def successor_of(self, old: InstanceId) -> InstanceId | None:
        """Find who is to take over from an instance."""
        return next((new for new, s in self._by_new.items() if old in s.old), None)

    def made_room(self, new: InstanceId, old: InstanceId, now: float) -> None:
        """`old` takes no more requests, for `new` to have its memory."""
        succession = self._by_new.get(new)
        if succession is None or old not in succession.old:
            return
        succession.evicted.add(old)
        if succession.gap_from is None:
            succession.gap_from = now

    def succeeded(self, new: InstanceId, now: float) -> float | None:
        """End one whose new instance is ready.

        Returns:
            For how long nobody took requests; None if it took over from nobody.
        """
        succession = self._by_new.pop(new, None)
        if succession is None:
            return None
        return 0.0 if succession.gap_from is None else now - succession.gap_from

    def failed(self, new: InstanceId) -> frozenset[InstanceId]:
        """End one whose new instance has given up; return who is to serve again."""
        succession = self._by_new.pop(new, None)
        return frozenset() if succession is None else frozenset(succession.evicted)

    def forget(self, instance: InstanceId) -> None:
        """Nobody takes over from, or instead of, an instance that is gone."""
        self._by_new.pop(instance, None)
        for new, succession in [*self._by_new.items()]:
            succession.old -= {instance}
            succession.evicted.discard(instance)
            if not succession.old:
                del self._by_new[new]
