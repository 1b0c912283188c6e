"""What tokens and energy came to, and what they cost: `GET /api/v1/usage`, `localllm cost --json`.

Tokens are counts, energy is in joules, times are in seconds, money is in the currency that the user has
named. Null where nobody knows: a device that does not tell, a price that was not said.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from localllm.api.views import View

By = Literal["day", "model", "client"]
How = Literal["counted", "sampled", "both"]
Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /api/v1/usage`: days in UTC, both included; by itself the last 30."""

    first: Day | None = msgspec.field(default=None, name="from")
    last: Day | None = msgspec.field(default=None, name="to")
    by: By = "day"


class UsageRowView(View, frozen=True, kw_only=True):
    """A day, a model or a client, or all of them."""

    name: str
    """The day as in 2026-11-29, the model (empty for requests that none got), or the client."""

    requests: int
    input: int
    """Tokens of prompts that were not in the cache."""

    cached: int
    output: int
    remote: int
    """Tokens that a server elsewhere has read and written; in none of the other figures."""

    answers: float | None
    """Joules above what devices use idle, of those requests whose energy is known."""

    measured: float
    """Share of the tokens whose energy is known, from 0 to 1."""

    idle: float | None
    """Joules with a model in memory and nobody asking; of days and of the whole alone, since a model's
    own are not known."""

    electricity: float | None
    """What both cost."""

    apis: dict[str, float]
    """What each API that the user has named would ask for the same tokens."""


class DeviceDayView(View, frozen=True, kw_only=True):
    """One device in one day."""

    day: str
    device: str
    loaded: float
    """How long a model was in its memory."""

    told: float
    """Of it, the time of which it tells what it used."""

    joules: float | None
    """In that time; null where it tells nothing."""

    idle: float | None
    """Of it, what it uses with a model in memory and nobody asking."""

    how: How | None
    """By its counter, or added up from what it drew at each look."""


class ApiView(View, frozen=True, kw_only=True):
    """One API beside what there is here."""

    name: str
    cost: float
    """Of all tokens."""

    per_million: float | None
    """Of tokens in the mix that there was."""

    crossover: Literal["at", "always", "never", "unknown"]
    """From so many tokens a day on it is less here; always, never, or nobody can tell."""

    tokens_per_day: float | None
    """Where both cost the same; null unless it is `at`."""

    reachable: bool | None
    """Whether so many tokens a day could come at the speed that there was."""


class CostView(View, frozen=True, kw_only=True):
    """What it costs here, by the user's own prices."""

    currency: str
    electricity_per_kwh: float | None
    per_million: float | None
    """Of tokens in the mix that there was: their energy alone."""

    idle_per_day: float | None
    idle_from: Literal["measured", "entered"] | None
    hardware_per_day: float
    fixed_per_day: float | None
    """Both together: what a day costs before the first token."""

    days: int
    """On which a model was in memory: those that are counted."""

    whole: float | None
    """What all of them cost, with the hardware."""

    tokens_per_day: float | None

    most_per_day: float | None
    """How many tokens a day of nothing else would bring, as fast as they came."""

    apis: list[ApiView]


class UsageView(View, frozen=True, kw_only=True):
    """What `GET /api/v1/usage` answers."""

    first: str = msgspec.field(name="from")
    last: str = msgspec.field(name="to")
    by: By
    rows: list[UsageRowView]
    total: UsageRowView
    devices: list[DeviceDayView]
    cost: CostView
    missing: list[str]
    """What nobody has told, and what would tell it, one sentence each."""
