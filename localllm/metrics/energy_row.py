"""What energy came to, as the ledger adds it up by day. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """A part of a day in which a model was in a device's memory; the fields are `device_days`' columns."""

    day: str
    """In UTC, as in 2026-11-29."""

    device: str
    loaded_s: float
    """How long a model was there."""

    told_s: float
    """Of it, the time of which the device tells what it used."""

    sampled_s: float
    """Of that, the time in which it told what it drew now and then, and counted nothing."""

    joules: float
    """All that it used in `told_s`."""

    idle_joules: float
    """Of it, what it uses with a model in memory and nobody asking."""

    def plus(self, more: DeviceUse) -> DeviceUse:
        return replace(
            self,
            loaded_s=self.loaded_s + more.loaded_s,
            told_s=self.told_s + more.told_s,
            sampled_s=self.sampled_s + more.sampled_s,
            joules=self.joules + more.joules,
            idle_joules=self.idle_joules + more.idle_joules,
        )


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What answering took on a day; the fields are `model_energy`'s columns.

    All of them are of those requests during all of which the devices told what they used: joules by
    tokens are then what a token takes.
    """

    day: str
    """On which they began, as the totals of requests have it."""

    model: str
    client: str
    joules: float
    """Above what the devices use idle."""

    busy_s: float
    """How long an engine was at work; of requests at the same time, each has its share."""

    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int

    def plus(self, more: ModelUse) -> ModelUse:
        return replace(
            self,
            joules=self.joules + more.joules,
            busy_s=self.busy_s + more.busy_s,
            prompt_tokens=self.prompt_tokens + more.prompt_tokens,
            cached_tokens=self.cached_tokens + more.cached_tokens,
            generated_tokens=self.generated_tokens + more.generated_tokens,
        )


EnergyRow = DeviceUse | ModelUse


@dataclass(slots=True)
class Sums:
    """Rows until they are written: one for each device and each model's client. Mutable."""

    _devices: dict[tuple[str, str], DeviceUse] = field(
        default_factory=dict[tuple[str, str], DeviceUse]
    )
    _models: dict[tuple[str, str, str], ModelUse] = field(
        default_factory=dict[tuple[str, str, str], ModelUse]
    )

    @property
    def has_requests(self) -> bool:
        """Somebody may want to see them soon."""
        return bool(self._models)

    def add(self, row: EnergyRow) -> None:
        """Take one in."""
        if isinstance(row, DeviceUse):
            known = self._devices.get((row.day, row.device))
            self._devices[row.day, row.device] = row if known is None else known.plus(row)
            return
        whose = (row.day, row.model, row.client)
        one = self._models.get(whose)
        self._models[whose] = row if one is None else one.plus(row)

    def take(self) -> Sequence[EnergyRow]:
        """Give what was added, once."""
        rows: list[EnergyRow] = [*self._devices.values(), *self._models.values()]
        self._devices, self._models = {}, {}
        return rows
