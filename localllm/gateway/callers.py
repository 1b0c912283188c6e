"""Who asks, which models they may use, and how often. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from localllm.api.keys import LOCAL, Key
from localllm.errors import Forbidden, RateExceeded

_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    name: str
    """Of their key; `local` for who needs none."""

    key: str | None = None
    """The key's id."""

    models: frozenset[str] | None = None
    """Names and ids that they may ask for, in small letters; None is all."""

    per_minute: int | None = None
    """Requests; None is as many as they like."""

    def may_use(self, names: Iterable[str | None]) -> bool:
        """Tell whether one of a model's names is among theirs."""
        return self.models is None or any(name and name.lower() in self.models for name in names)


LOCALS = Caller(LOCAL)
"""Programs of this machine that show no key, and need none."""

ANYONE = Caller("anyone")
"""Who asks whether the daemon lives."""


def caller_of(key: Key) -> Caller:
    """Say who has a key."""
    models = None if key.models is None else frozenset(name.lower() for name in key.models)
    return Caller(key.name, key.id, models, key.per_minute)


def check_model(caller: Caller, model: str, *names: str | None) -> None:
    """Let a caller use a model, or not.

    Args:
        model: The id that the request's name led to; where it led nowhere, the name.
        names: What else it goes by here: the name that the request has, above all.

    Raises:
        Forbidden: Neither is on their key's list.
    """
    if not caller.may_use((model, *names)):
        raise Forbidden(
            f"The API key {caller.name!r} may not use {model[:80]!r}.",
            why=f"it is for {', '.join(sorted(caller.models or ())) or 'no model'}",
            fix="ask for one of those, or use another key; GET /v1/models lists them",
        )


@dataclass(slots=True)
class Rates:
    """Remembers when each key asked: a window that slides, so no minute has more than it may."""

    _asked: dict[str, deque[float]] = field(default_factory=dict[str, deque[float]])

    def count(self, caller: Caller, now: float) -> None:
        """Count a request; one that is refused does not count.

        Args:
            now: Seconds of a clock that nobody sets.

        Raises:
            RateExceeded: It would be one too many; it says when it would not.
        """
        if caller.per_minute is None or caller.key is None:
            return
        asked = self._asked.setdefault(caller.key, deque())
        while asked and asked[0] <= now - _WINDOW_S:
            asked.popleft()
        if len(asked) >= caller.per_minute:
            after_s = asked[0] + _WINDOW_S - now
            raise RateExceeded(
                f"The API key {caller.name!r} has asked too often.",
                why=f"it may ask {caller.per_minute} times a minute",
                fix=f"try again in {max(1, round(after_s + 0.5))}s",
                retry_after_s=after_s,
            )
        asked.append(now)
