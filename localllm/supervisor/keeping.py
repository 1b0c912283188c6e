"""Who is unloaded though nobody needs the memory: the unused, and the idle when it runs out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from localllm.events import InstanceId
from localllm.units import duration

_WORTH_BYTES = 64 << 20
"""Of the host's memory; unloading what holds less relieves nobody."""


class Relief(StrEnum):
    """How much the host's memory needs it."""

    NONE = "none"
    ONE = "one"
    ALL = "all"
    """Of those that are idle."""


@dataclass(frozen=True, slots=True)
class Stay:
    """A ready instance that nobody uses at the moment."""

    id: InstanceId
    used_at: float
    keep_s: float
    pinned: bool
    host_bytes: int
    """That it holds of the host's memory, or of one that a device shares with it."""


@dataclass(frozen=True, slots=True)
class Unload:
    id: InstanceId
    why: str


def decide_unloads(
    stays: Iterable[Stay], relief: Relief, why: str | None, now: float
) -> Sequence[Unload]:
    """Decide who goes: whose time is over, and the least recently used for the memory.

    Args:
        why: Of the pressure, in words.
    """
    free = [stay for stay in stays if not stay.pinned]
    over = [stay for stay in free if now - stay.used_at >= stay.keep_s]
    unloads = [Unload(s.id, f"nobody has used it for {duration(s.keep_s)}") for s in over]
    heavy = [s for s in free if s not in over and s.host_bytes >= _WORTH_BYTES]
    heavy.sort(key=lambda stay: stay.used_at)
    count = {Relief.NONE: 0, Relief.ONE: 1, Relief.ALL: len(heavy)}[relief]
    return [*unloads, *(Unload(s.id, f"it is idle, and {why}") for s in heavy[:count])]
