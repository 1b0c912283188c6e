"""How long to wait before asking again, and when to give up. Pure, but for the dice."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from localllm.transfer.failures import TryAgain

_FIRST_S, _LONGEST_S = 0.5, 30.0
_MOST_DOUBLED = 6
_GIVE_UP_S = 600.0
"""Of waiting since anything came: a line that is down for some minutes costs no download."""

_GIVE_UP_AT_FIRST_S = 60.0
"""Likewise, where nothing has come yet: somebody may sit before it."""

_MOST_ASKED_S = 600.0
"""Of waiting because the server asks for it, in all since anything came; it knows when it is of use."""


@dataclass(slots=True)
class Patience:
    """Of all who fetch one file together."""

    dice: random.Random = field(default_factory=random.Random)
    """No two programs should ask again in the same moment."""

    _tries: int = 0
    _waited_s: float = 0.0
    _asked_s: float = 0.0
    """Waited because the server asked for it."""

    _has_come: bool = False
    _has_answered: bool = False

    def came(self) -> None:
        """Bytes have come: all is well."""
        self._tries, self._waited_s, self._asked_s, self._has_come = 0, 0.0, 0.0, True

    def pause_s(self, again: TryAgain) -> float | None:
        """Say how long to wait after a failure; None: it is of no use."""
        self._has_answered |= again.answered
        if not self._has_answered and not self._has_come:
            return None
        growing = min(_LONGEST_S, _FIRST_S * 2 ** min(self._tries, _MOST_DOUBLED))
        pause = growing * self.dice.uniform(0.75, 1.25)
        self._tries += 1
        if again.after_s is not None and again.after_s > pause:
            self._asked_s += again.after_s
            return again.after_s if self._asked_s <= _MOST_ASKED_S else None
        self._waited_s += pause
        most = _GIVE_UP_S if self._has_come else _GIVE_UP_AT_FIRST_S
        return pause if self._waited_s <= most else None


def retry_after_s(text: str | None, now: datetime) -> float | None:
    """Read `Retry-After`: seconds, or a date; None where it is neither.

    Source: RFC 9110, section 10.2.3.
    """
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
