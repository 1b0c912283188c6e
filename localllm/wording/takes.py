"""What of a plan takes how much memory, and how that is shared out to a bar. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localllm.api.views import CandidateView, DeviceView, MemoryView, PlacementView

_CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Takes:
    """What a plan takes of the devices that the model runs on, all as one."""

    weights_bytes: int
    cache_bytes: int
    """See `kept_bytes`."""

    other_bytes: int
    """Compute, output, the runtime's own; and a projector or a draft."""

    usable_bytes: int
    """That may be used of these devices; 0 where nobody tells."""

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.cache_bytes + self.other_bytes

    @property
    def is_too_big(self) -> bool:
        return self.total_bytes > self.usable_bytes


@dataclass(frozen=True, slots=True)
class Shares:
    """Columns of a bar, in their order."""

    weights: int
    cache: int
    other: int
    free: int
    """None of a plan that is too big: there stand `is_too_big`'s mark, and blanks."""

    blank: int
    is_too_big: bool


def takes_of(candidate: CandidateView, devices: Sequence[DeviceView]) -> Takes | None:
    """Sum what it takes of the accelerators, or of the host where it runs on none."""
    parts = used(candidate)
    if not parts:
        return None
    usable = {device.id: device.memory_usable or 0 for device in devices}
    weights = sum(part.memory.weights for part in parts)
    cache = sum(kept_bytes(part.memory) for part in parts)
    total = sum(part.memory.total for part in parts)
    room = sum(usable.get(part.device, 0) for part in parts)
    return Takes(weights, cache, total - weights - cache, room)


def used(candidate: CandidateView) -> Sequence[PlacementView]:
    """The accelerators; without any, the host."""
    return [p for p in candidate.placement if p.device != _CPU] or candidate.placement


def used_bytes(candidate: CandidateView) -> int | None:
    """What it takes of the accelerators, or of the host where it runs on none; None: on nothing."""
    parts = used(candidate)
    return sum(part.bytes for part in parts) if parts else None


def beside_bytes(candidate: CandidateView) -> int | None:
    """What it takes of the host beside accelerators; None where it is on one of both alone."""
    parts = [p for p in candidate.placement if p not in used(candidate)]
    return sum(part.bytes for part in parts) if parts else None


def kept_bytes(memory: MemoryView) -> int:
    """The cache, recurrent state, which stands for it, and checkpoints: what both held before."""
    return memory.kv_cache + memory.recurrent_state + memory.checkpoints


def shares_of(takes: Takes, width: int) -> Shares:
    """Share out so many columns; one of them is the mark's where it is too big."""
    room = width - takes.is_too_big
    ends, so_far = [0], 0
    for count in (takes.weights_bytes, takes.cache_bytes, takes.other_bytes):
        so_far += count
        end = round(width * so_far / takes.usable_bytes) if takes.usable_bytes > 0 else 0
        ends.append(min(room, end))
    weights, cache, other = (ends[i + 1] - ends[i] for i in range(3))
    rest = room - ends[-1]
    free, blank = (0, rest) if takes.is_too_big else (rest, 0)
    return Shares(weights, cache, other, free, blank, takes.is_too_big)
