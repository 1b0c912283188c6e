"""What instances hold of each device's memory, in bytes, and what they will."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from localllm.events import DeviceId
from localllm.events import ModelState as S
from localllm.supervisor.hosted import Hosted

_TAKES_MEMORY = frozenset({S.WARMING, S.READY, S.DRAINING, S.STOPPING})
HOLDS_MEMORY = _TAKES_MEMORY | {S.STARTING}
"""Has it, or is about to: for those who show it."""

_SETTLED = frozenset({S.STOPPED, S.FAILED, S.READY})


def held(instances: Iterable[Hosted], *, all_of_them: bool = False) -> Mapping[DeviceId, int]:
    """What they took from what the probe calls usable.

    Without the cache of earlier prompts, which fills up over time, and without those that have
    taken nothing yet.

    Args:
        all_of_them: Those too that nobody may stop for another one's sake.
    """
    return _total(
        h for h in instances if h.state in _TAKES_MEMORY and (all_of_them or not h.pinned)
    )


def coming(instances: Iterable[Hosted]) -> Mapping[DeviceId, int]:
    """What those will take that have been granted it, and have not taken it."""
    return _total(h for h in instances if h.granted or h.state is S.STARTING)


def is_settled(instances: Iterable[Hosted]) -> bool:
    """Whether what the machine says of its memory is the whole truth: nothing starts or ends."""
    return all(h.state in _SETTLED and not h.granted for h in instances)


def _total(instances: Iterable[Hosted]) -> Mapping[DeviceId, int]:
    total: dict[DeviceId, int] = {}
    for one in instances:
        for device, count in one.taken.items():
            total[device] = total.get(device, 0) + count
    return total
