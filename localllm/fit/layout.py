"""One way to lay a model over the devices: what it takes of each at a context, and the longest that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from localllm.fit.cache import CONTEXT_STEP, FLOAT_BYTES, Setting, checkpoints_bytes
from localllm.fit.drafter import Drafter
from localllm.fit.memory import bounded_buffers_of, buffers_of, kept_of, with_buffers
from localllm.fit.placing import Arrangement
from localllm.fit.plan import Budget, Memory
from localllm.fit.shape import Shape
from localllm.fit.tables import Tables


@dataclass(frozen=True, slots=True)
class Part:
    """What one device gives."""

    budget: Budget
    memory: Memory

    @property
    def need(self) -> int:
        return self.memory.total

    @property
    def spare(self) -> int:
        """Bytes left over; negative where they do not suffice."""
        return self.budget.usable_bytes - self.need


@dataclass(frozen=True, slots=True)
class Layout:
    """A model, where it goes, and what is asked of the engine but the context."""

    tables: Tables
    host: Budget
    devices: tuple[Budget, ...]
    arrangement: Arrangement
    setting: Setting
    weights: tuple[int, ...]
    """Bytes on each device, the host last."""

    projector_bytes: int = 0
    exact: bool = True
    """Whether the graph is replayed; else its buffers are bounded, which is quick."""

    drafter: Drafter | None = None

    @property
    def shape(self) -> Shape:
        return self.tables.shape

    def at(self, context: int) -> tuple[Part, ...]:
        """The devices' parts in their order, the host's last."""
        setting = replace(self.setting, context=context)
        kept = kept_of(self.tables, setting, self.arrangement, self.weights)
        drafts = self._drafts(setting, exact=self.exact)
        return self._parts(with_buffers(kept, self._buffers(setting)), drafts, setting)

    def _buffers(self, setting: Setting) -> tuple[int, ...]:
        kinds = [device.kind for device in self.devices]
        if self.exact:
            return buffers_of(self.tables, setting, self.arrangement, kinds)
        return bounded_buffers_of(self.tables, setting, self.arrangement)

    def kept_at(self, context: int) -> tuple[Part, ...]:
        """As `at`, without the compute buffers: quick, and never too much."""
        setting = replace(self.setting, context=context)
        kept = kept_of(self.tables, setting, self.arrangement, self.weights)
        return self._parts(kept, self._drafts(setting, exact=None), setting)

    def _drafts(self, setting: Setting, *, exact: bool | None) -> Sequence[int]:
        """What a draft takes of each device, the host last, where the logits of guesses are."""
        taken = [0] * (len(self.devices) + 1)
        if self.drafter is None:
            return taken
        place = self.drafter.place(self.arrangement)
        kind = self.devices[place].kind if place < len(self.devices) else None
        on_device, on_host = self.drafter.takes(setting, kind, exact=exact)
        guesses = setting.parallel * self.drafter.tokens
        taken[place] += on_device
        taken[-1] += on_host + guesses * self.shape.header.vocabulary * FLOAT_BYTES
        return taken

    def short_of(self, context: int) -> Part | None:
        """The device that lacks most; None where all suffice."""
        for parts in (self.kept_at, self.at):
            shortest = min(parts(context), key=lambda part: part.spare)
            if shortest.spare < 0:
                return shortest
        return None

    def fits(self, context: int) -> bool:
        return self.short_of(context) is None

    def fits_devices(self, context: int) -> bool:
        """Whether the devices take their part, whatever the host can."""
        return self.keeps_on_devices(context) and all(
            part.spare >= 0 for part in self.at(context)[:-1]
        )

    def keeps_on_devices(self, context: int) -> bool:
        """As `fits_devices`, compute buffers left out: quick, and true too often, never too seldom."""
        return all(part.spare >= 0 for part in self.kept_at(context)[:-1])

    def _checkpoints(self, setting: Setting) -> Sequence[int]:
        """What they take of each device, the host last: they are there, or in the memory it shares."""
        taken = [0] * (len(self.devices) + 1)
        shares = (place for place, device in enumerate(self.devices) if device.shares_host)
        taken[next(shares, -1)] = checkpoints_bytes(self.shape, setting)
        return taken

    def _parts(
        self, memories: Sequence[Memory], drafts: Sequence[int], setting: Setting
    ) -> tuple[Part, ...]:
        checkpoints = self._checkpoints(setting)
        parts = [
            Part(
                budget,
                replace(memory, draft=draft, overhead=budget.overhead_bytes, checkpoints=kept),
            )
            for budget, memory, draft, kept in zip(
                (*self.devices, self.host), memories, drafts, checkpoints, strict=True
            )
        ]
        first = replace(parts[0].memory, projector=self.projector_bytes)
        return (replace(parts[0], memory=first), *parts[1:])

    def longest(self, least: int, most: int) -> int:
        """Find the longest context that fits, in whole steps; 0 if not even the least does.

        What it takes grows with the context in a straight line but for roundings, so that a
        line through two points leads to the step, or next to it.
        """
        if self.fits(most):
            return most
        if not self.fits(least):
            return 0
        low, high = self._spares(least), self._spares(most)
        while high[0] - low[0] > CONTEXT_STEP:
            middle = self._spares(_between(low, high))
            if min(middle[1]) >= 0:
                low = middle
            else:
                high = middle
        return low[0]

    def _spares(self, context: int) -> tuple[int, Sequence[int]]:
        return context, [part.spare for part in self.at(context)]


def _between(low: tuple[int, Sequence[int]], high: tuple[int, Sequence[int]]) -> int:
    """A whole step between two contexts, near to where the line says that memory ends."""
    length = high[0] - low[0]
    ends = [
        low[0] + length * at_low // max(1, at_low - at_high)
        for at_low, at_high in zip(low[1], high[1], strict=True)
        if at_high < 0
    ]
    first = low[0] // CONTEXT_STEP * CONTEXT_STEP + CONTEXT_STEP
    last = (high[0] - 1) // CONTEXT_STEP * CONTEXT_STEP
    return max(first, min(min(ends) // CONTEXT_STEP * CONTEXT_STEP, last))


def total_of(parts: Sequence[Part]) -> Memory:
    """Add up all devices, by use."""
    total = Memory(0, 0, 0, 0)
    for part in parts:
        total += part.memory
    return total
