"""What a load turned out to be, device by device, beside what the plan promised. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from localllm.engines.base import Serving
from localllm.engines.load_log import LoadReport
from localllm.events import DeviceId
from localllm.hardware.machine import CPU
from localllm.planning.ledger import in_the_log
from localllm.planning.planner import Planned
from localllm.units import MIB, size

PROMISED_SHARE = 0.01
"""A device never takes more than this beyond its plan: what scripts/verify_fit holds."""

_ROUNDING_BYTES = MIB // 4
"""Of a log with two decimals and a dozen of buffers."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One device's part."""

    device: DeviceId
    name: str
    layers: int
    predicted_bytes: int
    measured_bytes: int | None
    """As the engine's log adds up; None where it says nothing of bytes."""


def placed(planned: Planned, serving: Serving, load: LoadReport | None) -> Sequence[Placed]:
    """Put each device's bytes as logged beside the plan's.

    Args:
        load: None: nothing is loaded yet.
    """
    names = {
        d.id: seen.name for (d, _, _), seen in zip(planned.used, serving.devices, strict=False)
    }
    titles = {d.id: d.name for d, _, _ in planned.used}
    return [
        Placed(
            p.device,
            titles.get(p.device, "processor"),
            p.layers if p.device != CPU else 0,
            in_the_log(p.memory),
            None if load is None else _measured(load, p.device, names.get(p.device)),
        )
        for p in planned.plan.placement
        if p.device == CPU or p.device in names
    ]


def broken_promises(placed_: Sequence[Placed]) -> Iterator[str]:
    """Say where a load took more than the plan had promised, and how much more."""
    for one in placed_:
        measured, predicted = one.measured_bytes, one.predicted_bytes
        if measured is None or measured <= predicted * (1 + PROMISED_SHARE) + _ROUNDING_BYTES:
            continue
        yield (
            f"{one.name} took {size(measured)}, {size(measured - predicted)} more than planned: "
            "the next start is planned with what was measured"
        )


def _measured(load: LoadReport, device: DeviceId, name: str | None) -> int | None:
    if not load.buffers:
        return None
    if device == CPU:
        return sum(b.size_bytes for b in load.buffers if b.on_host)
    return sum(b.size_bytes for b in load.buffers if b.where == name and not b.on_host)
