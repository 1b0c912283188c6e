"""What the screen knows: the newest look at the daemon, what came before, and since when it is lost. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class World:
    """Replaced with each look."""

    now: NowView | None = None
    """None before the first."""

    lost_since: float | None = None
    """Unix seconds; None while it answers."""

    why_lost: str | None = None
    histories: Mapping[str, History] = field(default_factory=dict[str, History])

    @property
    def is_connected(self) -> bool:
        return self.now is not None and self.lost_since is None


def seen(world: World, now: NowView) -> World:
    """Take a look in."""
    histories = {one.view.instance: _longer(world, one, now.at) for one in now.models}
    return World(now, None, None, histories)


def lost(world: World, why: str, at: float) -> World:
    """Note that nobody answers."""
    since = world.lost_since if world.lost_since is not None else at
    return replace(world, lost_since=since, why_lost=why)


def _longer(world: World, model: ModelNowView, at: float) -> History:
    before = world.histories.get(model.view.instance)
    if before is None or model.generated < before.generated:  # new, or the daemon is
        return History(generated=model.generated, seen_at=at)
    took_s = max(at - before.seen_at, 1e-3)
    tps = deque(before.tps, KEPT)
    tps.append((model.generated - before.generated) / took_s)
    first = deque(before.first_token_s, KEPT)
    first.append(model.first_token or 0.0)
    return History(tuple(tps), tuple(first), model.generated, at)
