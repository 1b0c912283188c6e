"""What nobody has told that a cost needs, and what would tell it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localllm.config.prices import Cost
from localllm.wording.costs import Measured

SECTION, LINE_OF_CURRENCY = "[cost]", 'currency = "..."'
LINE_OF_ELECTRICITY = "electricity_per_kwh = ..."
LINES_OF_AN_API = (
    "[cost.apis.NAME]",
    "input = ...          # for a million tokens of prompts",
    "cached_input = ...   # of those that are in its cache",
    "output = ...         # of answers",
)
"""With the user's own numbers in the place of the dots: none is known by itself."""


def what_is_missing(measured: Measured, cost: Cost, *, untold: Sequence[str]) -> Iterator[str]:
    """Say it, one sentence each.

    Args:
        untold: Devices that had a model and never told what they used.
    """
    if cost.electricity_per_kwh is None:
        yield "the price of electricity is not in config.toml"
    if not cost.apis:
        yield "the prices of no API are in config.toml"
    for device in untold:
        yield f"what {device} uses is not told by the device"
    if not measured.tokens.total:
        yield "no tokens were read or written in these days"
    elif not measured.with_energy.total:
        yield "the energy of no request is known yet"
    if measured.days and measured.idle_joules is None and cost.idle_watts is None:
        yield "what the computer uses while nobody asks is not known; idle_watts in [cost] says it"


def lines_for(cost: Cost) -> Sequence[str]:
    """List the lines that config.toml lacks."""
    lines: list[str] = []
    if cost.electricity_per_kwh is None:
        currency = () if cost.currency else (LINE_OF_CURRENCY,)
        lines += [SECTION, *currency, LINE_OF_ELECTRICITY]
    if not cost.apis:
        lines += ["", *LINES_OF_AN_API] if lines else LINES_OF_AN_API
    return lines
