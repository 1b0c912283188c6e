"""What config.toml may say of money: the section `cost`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

Price = Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000, examples=[1.0])]


class ApiPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an API asks for a million tokens, in the currency of `cost`."""

    input: Price
    """Of prompts."""

    output: Price
    """Of answers."""

    cached_input: Price | None = None
    """Of prompts that are in its cache; unset: as much as of others."""

    cache_write: Price | None = None
    """Of prompts that are put into its cache, as all are then that were not in it; unset: as much as
    of others."""


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `localllm cost` reckons with: your prices. None is known by itself."""

    currency: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[^\s\x00-\x1f]{0,8}\Z",
            description="up to eight characters without blanks",
            examples=["EUR"],
        ),
    ] = ""
    """Of all prices here; only shown."""

    electricity_per_kwh: (
        Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000, examples=[0.3])] | None
    ) = None
    """What a kilowatt-hour costs."""

    psu_efficiency: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    """How much of what comes from the wall gets to the devices, which tell what they use and nothing
    of what a power supply loses."""

    idle_watts: Annotated[float, msgspec.Meta(ge=0, le=1_000_000, examples=[60])] | None = None
    """What the whole computer draws from the wall with a model in memory and nobody asking; unset: what
    its devices tell."""

    hardware_price: (
        Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000, examples=[2000])] | None
    ) = None
    """What was paid for it, to be counted by the day; needs `hardware_years`."""

    hardware_years: Annotated[float, msgspec.Meta(gt=0, le=100, examples=[4])] | None = None
    """How long it is to last."""

    apis: Mapping[str, ApiPrices] = msgspec.field(default_factory=dict[str, ApiPrices])
    """What others ask, under names of your own."""

    def __post_init__(self) -> None:
        if (self.hardware_price is None) != (self.hardware_years is None):
            raise ValueError("hardware_price and hardware_years are only of use together")
