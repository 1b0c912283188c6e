"""The ways to lay a model over the devices, from the quickest to the slowest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from localllm.fit.cache import Setting
from localllm.fit.drafter import Drafter
from localllm.fit.layout import Layout
from localllm.fit.placing import Arrangement, arrange, on_host
from localllm.fit.plan import Budget, Memory
from localllm.fit.shape import Shape
from localllm.fit.tables import Tables


@dataclass(frozen=True, slots=True)
class Ground:
    """A model and the devices that there are for it."""

    tables: Tables
    host: Budget
    devices: tuple[Budget, ...]
    projector_bytes: int = 0
    exact: bool = True
    drafter: Drafter | None = None

    @property
    def shape(self) -> Shape:
        return self.tables.shape

    def whole(self, setting: Setting) -> Iterator[Layout]:
        """All on one device, for each of them; then over all; without a device, on the host."""
        if not self.devices:
            yield self._layout((), on_host(self.shape), setting)
        for device in self.devices:
            yield self._layout((device,), arrange(self.shape, [1]), setting)
        if len(self.devices) > 1 and self.shape.blocks > len(self.devices):
            yield self._spread(setting)

    def experts_aside(self, setting: Setting) -> Layout | None:
        """The experts of as few layers as need be on the host, the rest on the devices.

        None where that does not fit at the setting's context, on the host or on the devices.
        """
        if self.shape.experts is None or not self.devices:
            return None
        split = self._split(setting)

        def with_aside(count: int) -> Layout:
            return self._evened(split, setting, count)

        return _least_aside(len(self.shape.layers), with_aside, setting.context)

    def partly(self, setting: Setting) -> Layout | None:
        """As many layers as fit on the devices, the first ones on the host."""
        if not self.devices:
            return None
        split = self._split(setting)
        blocks = self.shape.blocks

        def with_host(count: int) -> Layout:
            arrangement = arrange(self.shape, split, on_devices=blocks - count)
            return self._layout(self.devices, arrangement, setting)

        return _least_aside(blocks - 1, with_host, setting.context)

    def _spread(self, setting: Setting) -> Layout:
        """Over all devices, a layer moved from one to another until none is short, if it can be."""
        split = self._split(setting)
        seen = {tuple(split)}
        while True:
            layout = self._layout(self.devices, arrange(self.shape, split), setting)
            kept = [part.spare for part in layout.kept_at(setting.context)[:-1]]
            if sum(kept) < 0:
                return layout
            spare = [part.spare for part in layout.at(setting.context)[:-1]]
            short, roomy = spare.index(min(spare)), spare.index(max(spare))
            if spare[short] >= 0 or split[short] <= 1:
                return layout
            split[short] -= 1
            split[roomy] += 1
            if tuple(split) in seen:
                return layout
            seen.add(tuple(split))

    def _evened(self, split: Sequence[int], setting: Setting, aside: int) -> Layout:
        """With experts aside: layers moved to where they leave room, for as long as that helps."""
        best = self._with_aside(split, setting, aside)
        while True:
            spare = [part.spare for part in best.kept_at(setting.context)[:-1]]
            short, roomy = spare.index(min(spare)), spare.index(max(spare))
            moved = list(split)
            moved[short] -= 1
            moved[roomy] += 1
            if short == roomy or moved[short] < 1:
                return best
            other = self._with_aside(moved, setting, aside)
            if min(p.spare for p in other.kept_at(setting.context)[:-1]) <= min(spare):
                return best
            split, best = moved, other

    def _with_aside(self, split: Sequence[int], setting: Setting, aside: int) -> Layout:
        arrangement = arrange(self.shape, split, experts_on_host=aside)
        return self._layout(self.devices, arrangement, setting)

    def _split(self, setting: Setting) -> list[int]:
        """Layers for each device, in proportion to what it has beside the buffers."""
        blocks = self.shape.blocks
        even = [1] * len(self.devices)
        parts = self._layout(self.devices, arrange(self.shape, even), setting).at(setting.context)
        room = [max(1, p.budget.usable_bytes - _beside_layers(p.memory)) for p in parts[:-1]]
        split = [max(1, blocks * r // sum(room)) for r in room]
        for _ in range(blocks - sum(split)):
            lacking = [blocks * r / sum(room) - n for r, n in zip(room, split, strict=True)]
            split[lacking.index(max(lacking))] += 1
        return split

    def _layout(
        self, devices: Sequence[Budget], arrangement: Arrangement, setting: Setting
    ) -> Layout:
        weights = self.tables.on_devices(arrangement, [device.kind for device in devices])
        return Layout(
            self.tables,
            self.host,
            tuple(devices),
            arrangement,
            setting,
            weights,
            self.projector_bytes,
            self.exact,
            self.drafter,
        )


def _beside_layers(memory: Memory) -> int:
    """What of a device's part does not grow with its layers."""
    beside = memory.overhead + memory.compute + memory.projector + memory.draft
    return beside + memory.checkpoints


def _least_aside(most: int, layout_of: Callable[[int], Layout], context: int) -> Layout | None:
    """The layout that leaves least to the host, since that is what the host can best take.

    Without compute buffers, which take longest to work out, it is found first: no fewer will do.
    """
    first = _least(1, most, lambda n: layout_of(n).keeps_on_devices(context))
    if first is None or layout_of(first).kept_at(context)[-1].spare < 0:
        return None
    count = _least(first, most, lambda n: layout_of(n).fits_devices(context))
    if count is None:
        return None
    layout = layout_of(count)
    return layout if layout.fits(context) else None


def _least(first: int, most: int, holds: Callable[[int], bool]) -> int | None:
    """The smallest number from the first on for which it holds; it then holds for all larger ones.

    Often it is the first or next to it, so steps grow from there.
    """
    low, high = first - 1, first
    while not holds(high):
        if high == most:
            return None
        low, high = high, min(most, 2 * high - first + 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
