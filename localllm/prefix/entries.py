"""Which saved prompt goes on best with a request, and which ones go first when room is needed. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from localllm.prefix.holding import WORTH_TOKENS
from localllm.prefix.outline import BYTES_PER_TOKEN, Outline

SLOT_SUFFIX, TEXT_SUFFIX = ".kv", ".request"
"""Of the files that engines write of their slots, and of requests that they are to read again."""

_HALF_LIFE_S = 86_400.0
"""After so long without use, a saved prompt is worth half."""

_WARM_FOR_S = 7 * _HALF_LIFE_S
"""What nobody has gone on with for so long is not made ready before it is asked for."""

_MOST_TEXTS = 256
"""Requests are small, and each is somebody's words: no more are kept than may be of use."""

_READ_AHEAD = 2
"""Of the texts of requests; reading them takes the whole machine, putting back takes nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One saved prompt: what an engine has written of one slot, or the request that it came with.

    Times in Unix seconds.
    """

    id: str
    key: str
    """Of all that it depends on: model file, engine build, KV type and so on; with another key, it
    is another model's memory."""

    model: str
    outline: Outline
    tokens: int
    """As the engine has counted them; the answer is among them."""

    size_bytes: int
    sha256: str
    saved_at: float
    used_at: float
    uses: int
    """How often it was put back into a slot, it or one that it took the place of."""

    path: str | None = None
    """Of the engine's endpoint, where what is kept is the body of a request; None: it is a slot."""

    @property
    def is_text(self) -> bool:
        return self.path is not None

    @property
    def file(self) -> str:
        """The name in the folder under which the engine finds it."""
        return self.id + (TEXT_SUFFIX if self.is_text else SLOT_SUFFIX)


def choose_entry(entries: Sequence[Entry], key: str, wanted: Outline) -> Entry | None:
    """Choose the slot that has most of a prompt; of several the smallest, which is soonest read.

    Returns:
        None where none saves as much as is worth the reading.
    """
    ours = [one for one in entries if one.key == key and not one.is_text]
    best = max(ours, key=lambda one: _fitness(one, wanted), default=None)
    if best is None or best.outline.common_bytes(wanted) < WORTH_TOKENS * BYTES_PER_TOKEN:
        return None
    return best


def choose_victims(entries: Sequence[Entry], budget_bytes: int, now: float) -> Sequence[Entry]:
    """Choose what has to go, so that the others fit: the least valuable first.

    Texts that will not be read ahead any more go in any case.
    """
    victims = list(_useless_texts(entries, now))
    gone = {one.id for one in victims}
    others = [one for one in entries if one.id not in gone]
    over = sum(one.size_bytes for one in others) - budget_bytes
    for one in sorted(others, key=lambda one: (_value(one, now), one.used_at)):
        if over <= 0:
            break
        victims.append(one)
        over -= one.size_bytes
    return victims


def _useless_texts(entries: Sequence[Entry], now: float) -> Iterator[Entry]:
    texts = sorted((one for one in entries if one.is_text), key=lambda one: -one.used_at)
    for number, one in enumerate(texts):
        if number >= _MOST_TEXTS or now - one.used_at >= _WARM_FOR_S:
            yield one


def choose_to_warm(entries: Sequence[Entry], key: str, now: float) -> Sequence[Entry]:
    """Choose what an engine that has just started should have: what most will be saved by, first."""
    ours = [one for one in entries if one.key == key and now - one.used_at < _WARM_FOR_S]
    ours.sort(key=lambda one: (-_worth(one, now), -one.used_at))
    texts = [one for one in ours if one.is_text][:_READ_AHEAD]
    return [one for one in ours if not one.is_text or one in texts]


def superseded(entries: Sequence[Entry], new: Entry) -> Sequence[Entry]:
    """Find what a new one can do as well: what was saved of the same prompt when it was shorter.

    What lies in the last block, which has no mark, may differ: that much is read again.
    """
    return [
        one
        for one in entries
        if one.id != new.id
        and one.key == new.key
        and one.is_text == new.is_text
        and one.outline.size_bytes <= new.outline.size_bytes
        and new.outline.marks.startswith(one.outline.marks)
    ]


def _fitness(entry: Entry, wanted: Outline) -> tuple[int, int, float]:
    return entry.outline.common_bytes(wanted), -entry.size_bytes, entry.used_at


def _value(entry: Entry, now: float) -> float:
    """Tokens saved for each byte."""
    return _worth(entry, now) / entry.size_bytes


def _worth(entry: Entry, now: float) -> float:
    """Tokens saved, as often as it was of use, and less with age."""
    age_s = max(0.0, now - entry.used_at)  # a clock may have been set back
    return entry.tokens * (1 + entry.uses) * math.exp2(-age_s / _HALF_LIFE_S)
