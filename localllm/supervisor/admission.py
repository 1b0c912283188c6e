"""Who of those that wait for one instance goes to its engine next. Pure: one decision a call.

Round robin between clients, in order of arrival within one. A prompt that would crowd the
cache waits until there is room and is passed meanwhile, but not for longer than patience
lasts. It never foresees when a request ends: the caller asks again whenever one has come or
gone, or turned out to hold another number of tokens. Time alone lets nobody in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Ask:
    """One request that waits."""

    number: int
    """Unique, grows with arrival."""

    client: str
    tokens: int
    """Estimate of its prompt."""

    since: float


@dataclass(frozen=True, slots=True)
class Running:
    """One request that the engine works on."""

    client: str
    tokens: int
    """Of the cache's cells: the estimate, or what the engine told if that is more."""


@dataclass(frozen=True, slots=True)
class Room:
    """What the engine takes, and the rules for it."""

    slots: int
    """Requests that it serves at once."""

    context: int
    """Cells of the cache that the slots share."""

    share: float
    """Of the context; a long prompt that would fill more of it waits."""

    long_tokens: int
    """A prompt of at least so many tokens is long."""

    patience_s: float
    """A prompt that was held for so long is no longer passed."""


@dataclass(frozen=True, slots=True)
class Admit:
    number: int


@dataclass(frozen=True, slots=True)
class Hold:
    why: str


Decision: TypeAlias = Admit | Hold
_Turn: TypeAlias = tuple[float, int]
_NEVER: _Turn = (math.inf, 0)


def admit_next(
    waiting: Sequence[Ask],
    running: Sequence[Running],
    room: Room,
    served: Mapping[str, int],
    now: float,
) -> Decision:
    """Decide who goes to the engine next, by these rules.

    1. Never more than its slots. 2. A long prompt is held while it and what runs would fill
    more than the share, a short one while they would not fit at all; alone a prompt may have the
    whole cache. 3. What is held may be passed by
    all that others wait for, and by its own client's short prompts, but not by a later long
    one of that client. 4. The client with the fewest running goes first, then the one whose
    turn is the oldest. 5. Nobody is admitted whose turn comes after that of a prompt that
    is long, or held, and has waited for `patience_s`.

    A request's turn is its arrival, or its client's last admission if that was later. So a
    client that queues many at once has one turn a round, and one never seen before waits for
    those who came before it. Everybody is admitted in the end: turns that are older than
    one's own only get fewer.

    Args:
        served: By client, a number drawn when one of its requests was last admitted, from
            the counter that numbers arrivals too. The number of the request itself will not
            do: it is older than all that arrived since, and round robin becomes a queue.
    """
    if not waiting:
        return Hold("no request waits")
    if len(running) >= room.slots:
        return Hold(_all_busy(room.slots))
    turns = {ask.number: _turn(ask, served) for ask in waiting}
    shorts = [ask for ask in waiting if not _is_long(ask, room)]
    longs = _first_long_ones(waiting, room)
    held = [ask for ask in [*shorts, *longs] if _excess(ask, running, room) > 0]
    counts = [a for a in waiting if a in held or _is_long(a, room)]
    latest = min((turns[a.number] for a in counts if _is_overdue(a, room, now)), default=_NEVER)
    free = [a for a in [*shorts, *longs] if a not in held and turns[a.number] <= latest]
    if not free:
        return Hold(_no_room(min(held, key=lambda ask: turns[ask.number]), running, room))
    busy = Counter(one.client for one in running)
    return Admit(min(free, key=lambda ask: (busy[ask.client], turns[ask.number])).number)


def _turn(ask: Ask, served: Mapping[str, int]) -> _Turn:
    """The smaller, the sooner; within a client it grows with arrival."""
    return max(ask.number, served.get(ask.client, 0)), ask.number


def _is_long(ask: Ask, room: Room) -> bool:
    return ask.tokens >= room.long_tokens


def _is_overdue(ask: Ask, room: Room, now: float) -> bool:
    return now - ask.since >= room.patience_s


def _first_long_ones(waiting: Sequence[Ask], room: Room) -> list[Ask]:
    """Of each client the long prompt that came first: the others may not pass it."""
    longs = sorted((ask for ask in waiting if _is_long(ask, room)), key=lambda ask: -ask.number)
    return list({ask.client: ask for ask in longs}.values())


def _excess(ask: Ask, running: Sequence[Running], room: Room) -> float:
    """Tokens by which it would overstep what it may fill; none if nothing else runs."""
    if not running:  # the engine itself refuses what is longer than the whole context
        return 0.0
    share = room.share if _is_long(ask, room) else 1.0
    return _used(running) + ask.tokens - share * room.context


def _used(running: Sequence[Running]) -> int:
    return sum(one.tokens for one in running)


def _all_busy(slots: int) -> str:
    return "the only slot is busy" if slots == 1 else f"all {slots} slots are busy"


def _no_room(ask: Ask, running: Sequence[Running], room: Room) -> str:
    used = _used(running)
    wanted = min(used, math.ceil(_excess(ask, running, room)))
    return (
        f"the cache is {round(100 * used / room.context)} % full: "
        f"a prompt of about {ask.tokens} tokens waits for {wanted} to be freed"
    )
