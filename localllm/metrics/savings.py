"""How long it would have taken to read again what was in the cache; and what that came to today. Pure.

Nobody is to be told of more than they were spared. So of all that is known of how fast an instance
reads, the quickest counts:

- Requests are timed from when an engine had them to their first token. A short read pays a fixed
  cost per token, a deep one attention to all before it, one beside others waits for them: each makes
  reading look slower than it is, none quicker. So reads are sorted by their size, the median of each
  size's last few is its own, and the quickest size is believed.
- What the instance was measured to read at its start, or what its plan expects at best, is one more.

Where none of these is known, tokens are counted and seconds are not. What it took to put a prompt
back from disk is not taken off: a fraction of a second, where reading takes as many seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median

from localllm.metrics.live import Api, Live

FEWEST_TOKENS = 64
"""That a request must have read to tell how fast that is."""

REMOTE = "remote"
"""The engine of what a server elsewhere has answered: its cache is no work of ours."""

_REMEMBERED = 9
"""Reads of each size, so that one of them alone does not count."""

_MOST_INSTANCES = 100


@dataclass(frozen=True, slots=True)
class Spared:
    """What one request, or all of them, need not do."""

    tokens: int
    """That were not read again."""

    seconds: float | None
    """That reading them would have taken at least; None where nobody knows how fast that is."""

    def plus(self, other: Spared) -> Spared:
        known = [one for one in (self.seconds, other.seconds) if one is not None]
        return Spared(self.tokens + other.tokens, sum(known) if known else None)


NOTHING = Spared(0, None)


@dataclass(slots=True)
class Pace:
    """How fast one instance reads. Mutable."""

    by_size: dict[int, deque[float]] = field(default_factory=dict[int, deque[float]])
    """Seconds for each token of the last reads, by how often their length can be halved."""

    def saw(self, tokens: int, seconds: float) -> None:
        if tokens >= FEWEST_TOKENS and seconds > 0:
            size = self.by_size.setdefault(tokens.bit_length(), deque(maxlen=_REMEMBERED))
            size.append(seconds / tokens)

    def token_s(self) -> float | None:
        """Seconds for a token; None before the first read."""
        return min((median(reads) for reads in self.by_size.values()), default=None)


_MOST_DAYS = 3


def day_of(unix_s: float) -> str:
    """The day in UTC, as in 2026-11-29: days are the ledger's."""
    return datetime.fromtimestamp(unix_s, UTC).date().isoformat()


def _nobody_knows(_instance: str) -> float | None:
    return None


def _read_s(live: Live) -> float | None:
    """What reading a prompt took: as the engine says, else until its first token came."""
    if live.read_s is not None:
        return live.read_s
    if live.first_token_at is None or live.admitted_at is None:
        return None
    return live.first_token_at - live.admitted_at


class Savings:
    """Mutable, and used on the event loop alone.

    Args:
        prefill_tps: Of an instance, as it was measured at its start or is planned at best; None
            where nobody knows.
    """

    def __init__(self, prefill_tps: Callable[[str], float | None] = _nobody_knows) -> None:
        self._prefill_tps = prefill_tps
        self._paces: dict[tuple[str, str], Pace] = {}
        self._sums: dict[str, Spared] = {}
        """By day; of the last ones that anything was counted for."""

    def resume(self, day: str, so_far: Spared) -> None:
        """Go on from what an earlier daemon has counted."""
        self._sums[day] = so_far

    def finished(self, live: Live) -> Spared | None:
        """Count a request that is over; None for one that no cache has spared anything."""
        if live.instance is None or live.engine in {None, REMOTE} or live.api is Api.COUNT_TOKENS:
            return None
        self._learn(live)
        if not live.cached_tokens:
            return None
        token_s = self._token_s(live)
        tokens = live.cached_tokens
        spared = Spared(tokens, None if token_s is None else tokens * token_s)
        self._add(day_of(live.began_at), spared)
        return spared

    def on(self, day: str) -> Spared:
        """What it came to on a day: one of the last that anything was counted for, or none."""
        return self._sums.get(day, NOTHING)

    def _add(self, day: str, spared: Spared) -> None:
        self._sums[day] = self.on(day).plus(spared)
        while len(self._sums) > _MOST_DAYS:  # a clock that was wrong may have been set
            del self._sums[next(iter(self._sums))]

    def _learn(self, live: Live) -> None:
        prompt, cached, read_s = live.prompt_tokens, live.cached_tokens, _read_s(live)
        if prompt is not None and cached is not None and read_s is not None:
            self._pace(live).saw(prompt - cached, read_s)

    def _token_s(self, live: Live) -> float | None:
        assert live.instance is not None, "an engine has it"
        told = self._prefill_tps(live.instance)
        known = (self._pace(live).token_s(), 1 / told if told else None)
        return min((one for one in known if one is not None), default=None)

    def _pace(self, live: Live) -> Pace:
        key = (live.instance or "", live.engine or "")
        if key not in self._paces:
            while len(self._paces) >= _MOST_INSTANCES:
                del self._paces[next(iter(self._paces))]
            self._paces[key] = Pace()
        return self._paces[key]
