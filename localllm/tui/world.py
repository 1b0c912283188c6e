"""What the screen knows: the newest look at the daemon, what came before, and since when it is lost. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from localllm.api.now_views import ModelNowView, NowView

KEPT = 120
"""Looks for the sparklines: a minute, at two a second."""


@dataclass(frozen=True, slots=True)
class History:
    """Of one instance, the newest at the end."""

    tps: tuple[float, ...] = ()
    first_token_s: tuple[float, ...] = ()
    generated: int = 0
    seen_at: float = 0.0
    looks: int = 0
    """So many were taken in, those that are forgotten among them."""


@dataclass(frozen=True, slots=True)
class World:
    """Replaced with each look."""

    now: NowView | None = None
    """None before the first."""

    lost_since: float | None = None
    """Unix seconds; None while it answers."""

    why_lost: str | None = None
    is_there: bool = False
    """Somebody is there while it is lost: it says nothing, or nothing that can be used."""

    histories: Mapping[str, History] = field(default_factory=dict[str, History])

    @property
    def is_connected(self) -> bool:
        return self.now is not None and self.lost_since is None

    @property
    def is_without(self) -> bool:
        """Whether there is no daemon, so that one may be started."""
        return self.lost_since is not None and not self.is_there


def seen(world: World, now: NowView) -> World:
    """Take a look in."""
    histories = {one.view.instance: _longer(world, one, now.at) for one in now.models}
    return World(now, histories=histories)


def lost(world: World, why: str, at: float, *, is_there: bool = False) -> World:
    """Note that no answer comes."""
    since = world.lost_since if world.lost_since is not None else at
    return replace(world, lost_since=since, why_lost=why, is_there=is_there)


def _longer(world: World, model: ModelNowView, at: float) -> History:
    before = world.histories.get(model.view.instance)
    if before is None or model.generated < before.generated:  # new, or the daemon is
        return History(generated=model.generated, seen_at=at)
    if at == before.seen_at:  # the same look once more
        return before
    took_s = max(at - before.seen_at, 1e-3)
    tps = deque(before.tps, KEPT)
    tps.append((model.generated - before.generated) / took_s)
    first = deque(before.first_token_s, KEPT)
    first.append(model.first_token or 0.0)
    return History(tuple(tps), tuple(first), model.generated, at, before.looks + 1)


def by_columns(values: Sequence[float], columns: int, looks: int) -> list[float]:
    """Average values so that all that are kept have room in so many columns.

    A column stays as it is once it is full: only the last one changes with the next look.

    >>> by_columns((1.0, 3.0, 5.0, 7.0, 9.0), KEPT // 2, 5)
    [2.0, 6.0, 9.0]
    """
    if columns <= 0:
        return []
    of_each = -(-KEPT // columns)
    starts = range((len(values) - looks) % of_each, len(values), of_each)
    parts = [values[: starts.start], *(values[at : at + of_each] for at in starts)]
    return [sum(part) / len(part) for part in parts if part]
