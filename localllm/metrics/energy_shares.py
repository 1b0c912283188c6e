"""Who used how much of the energy of one device, between two looks at it. Pure.

Devices tell what all of them used, not for whom. So:

- What a device uses with a model in memory and nobody asking is its idle energy, and nobody's. How much
  that is a second is measured in such times: the median of the last ones, so that clocks that have not
  come down yet, and another program, count little.
- What it uses above that while requests are at an engine is theirs. Of several models at once each
  has as much of it as it was at work, in seconds; of a model's requests, each as long as an engine
  had it. Tokens are no measure: those of a large model are not those of a small one.
- Where nobody has seen it idle yet, all it uses while requests are at an engine is theirs.

What another program has the device do meanwhile is counted to them: no driver tells it apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """One request at an engine, in monotonic seconds."""

    instance: str
    request: str
    """Its id."""

    began: float
    ended: float

    def within(self, start: float, end: float) -> Work | None:
        """Its part in a time; None where it has none."""
        began, ended = max(self.began, start), min(self.ended, end)
        if ended <= began:
            return None
        return Work(self.instance, self.request, began, ended)


@dataclass(frozen=True, slots=True)
class Shares:
    """How a device's energy is parted, in joules."""

    idle: float
    by: Mapping[str, float]
    """By request, above idle."""


def decide_shares(
    joules: float, works: Sequence[Work], took_s: float, idle_w: float | None
) -> Shares:
    """Part what a device used.

    Args:
        works: On this device, within the time; of none all was idle.
        took_s: The time.
        idle_w: What it uses idle; None where that was not seen yet.
    """
    busy_s = union_s(works)
    if not busy_s:
        return Shares(joules, {})
    if idle_w is None:
        idle = joules * max(0.0, 1 - busy_s / took_s)
    else:
        idle = min(joules, idle_w * took_s)
    busy = busy_by(works)
    whole_s = sum(busy.values())
    return Shares(idle, {request: (joules - idle) * s / whole_s for request, s in busy.items()})


def busy_by(works: Sequence[Work]) -> Mapping[str, float]:
    """How long engines were at work for each request, in seconds.

    Requests that one instance had at once part the time that it was at work.
    """
    by: dict[str, float] = {}
    for instance in {work.instance for work in works}:
        mine = [work for work in works if work.instance == instance]
        share = union_s(mine) / sum(work.ended - work.began for work in mine)
        by |= {work.request: share * (work.ended - work.began) for work in mine}
    return by


def union_s(works: Iterable[Work]) -> float:
    """How long at least one was under way, in seconds."""
    whole, until = 0.0, float("-inf")
    for work in sorted(works, key=lambda work: work.began):
        whole += max(0.0, work.ended - max(work.began, until))
        until = max(until, work.ended)
    return whole
