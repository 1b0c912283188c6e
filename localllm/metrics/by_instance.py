"""What has come of each instance since the start, for who looks twice a second: it only grows. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from localllm.metrics.live import WRITES, Api, Live
from localllm.metrics.savings import REMOTE

_MOST_INSTANCES = 100


@dataclass(frozen=True, slots=True)
class Flow:
    """Of one instance, requests under way among it."""

    generated_tokens: int = 0
    read_tokens: int = 0
    """Of prompts, those that were not in the cache."""

    first_token_s: float | None = None
    """Of its newest request that has one."""


@dataclass(slots=True)
class _Tally:
    generated: int = 0
    read: int = 0
    shown: Flow = Flow()
    """The last time; no number of it is ever taken back, also where an engine corrects a count."""

    newest_at: float = 0.0
    newest_s: float | None = None

    def saw_first_token(self, live: Live) -> None:
        at, took_s = live.first_token_at, live.to_first_token_s
        if at is not None and at >= self.newest_at and live.api in WRITES:
            self.newest_at, self.newest_s = at, took_s


@dataclass(slots=True)
class ByInstance:
    """Mutable, and used on the event loop alone."""

    _tallies: dict[str, _Tally] = field(default_factory=dict[str, _Tally])

    def finished(self, live: Live) -> None:
        """Count a request that is over."""
        if live.instance is None or live.engine == REMOTE:
            return
        tally = self._tally(live.instance)
        tally.generated += live.generated_tokens
        tally.read += _read_tokens(live)
        tally.saw_first_token(live)

    def of(self, instance: str, under_way: Iterable[Live]) -> Flow:
        """What came of it so far."""
        tally = self._tally(instance)
        mine = [one for one in under_way if one.instance == instance and one.engine != REMOTE]
        for one in mine:
            tally.saw_first_token(one)
        shown = tally.shown
        tally.shown = Flow(
            max(shown.generated_tokens, tally.generated + sum(o.generated_tokens for o in mine)),
            max(shown.read_tokens, tally.read + sum(map(_read_tokens, mine))),
            tally.newest_s,
        )
        return tally.shown

    def _tally(self, instance: str) -> _Tally:
        if instance not in self._tallies:
            while len(self._tallies) >= _MOST_INSTANCES:
                del self._tallies[next(iter(self._tallies))]
            self._tallies[instance] = _Tally()
        return self._tallies[instance]


def _read_tokens(live: Live) -> int:
    """Tokens of its prompt that an engine has read, so far or in all."""
    if live.api is Api.COUNT_TOKENS:
        return 0
    read = live.prompt_read if live.ended_at is None else live.prompt_tokens
    return max(0, (read or 0) - (live.cached_tokens or 0))
