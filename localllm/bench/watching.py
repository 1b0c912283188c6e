"""What else goes on while it is measured: others' requests, heat, a battery, a busy machine. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from localllm.api.now_views import NowView
from localllm.api.request_views import RequestsListView, RequestView
from localllm.wording.figures import counted, percent

_WRITING = frozenset({"chat", "completions", "responses", "messages", "embeddings", "rerank"})
_BUSY = 0.25
"""Of all cores, what others may use before it is worth a word."""

_LEAST_ENERGY_S = 3.0
"""Drivers are read once a second: over less, the joules are mostly those of another moment."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Of the host, before anything was sent.

    Args:
        busy: Share of all cores that programs use; None where nobody tells.
    """

    busy: float | None
    on_battery: bool


def foreign(
    requests: RequestsListView, ours: Collection[str], since: float, until: float
) -> list[RequestView]:
    """Those of others that were under way in a while, in Unix seconds.

    Args:
        ours: The ids of our own: a second bench has the same name.
    """
    overlapping = [one for one in requests.live if one.began_at < until]
    overlapping += [
        one
        for one in requests.recent
        if one.began_at < until and one.began_at + one.elapsed > since
    ]
    return [one for one in overlapping if is_foreign(one) and one.id not in ours]


def is_foreign(one: RequestView, ours: str | None = None) -> bool:
    """Tell whether it makes an engine work for somebody else.

    Args:
        ours: The name of the program that asks for us; None: nothing was asked for us yet.
    """
    return one.api in _WRITING and one.client.partition("/")[0] != ours


def clients_of(requests: Sequence[RequestView]) -> str:
    """Who they are, in a few words.

    >>> clients_of([])
    ''
    """
    return ", ".join(sorted({one.client for one in requests}))


def device_memory_bytes(look: NowView) -> int | None:
    """What is in use on all accelerators; None where there is none that tells."""
    used = [
        device.memory_total - device.memory_free
        for device in look.devices
        if device.kind != "cpu" and device.memory_total and device.memory_free is not None
    ]
    return sum(used) if used else None


def energy_between(before: NowView, after: NowView, wall_s: float) -> float | None:
    """Joules that all devices used in so many seconds between two looks; None where none tells."""
    used = [*_used(before, after, wall_s)]
    return sum(used) if used else None


def _used(before: NowView, after: NowView, wall_s: float) -> Iterable[float]:
    earlier = {device.id: device for device in before.devices}
    for device in after.devices:
        first = earlier.get(device.id)
        if first is None or None in (
            first.energy,
            first.energy_at,
            device.energy,
            device.energy_at,
        ):
            continue
        took_s = (device.energy_at or 0.0) - (first.energy_at or 0.0)
        if took_s >= _LEAST_ENERGY_S:
            yield ((device.energy or 0.0) - (first.energy or 0.0)) * wall_s / took_s


def noise(conditions: Conditions, looks: Iterable[NowView]) -> list[str]:
    """What may make figures differ from those of another day, each thing once."""
    notes = [*_of_host(conditions)]
    for look in looks:
        notes += [*_of_look(look)]
    return list(dict.fromkeys(notes))


def _of_host(conditions: Conditions) -> Iterable[str]:
    if conditions.on_battery:
        yield "the computer runs on its battery, which slows most of them down"
    if conditions.busy is not None and conditions.busy > _BUSY:
        yield f"other programs used {percent(conditions.busy)} of the processor before it began"


def _of_look(look: NowView) -> Iterable[str]:
    for device in look.devices:
        if device.throttled is not None:
            yield f"{device.name} was slowed down: {device.throttled}"
        if device.pressure in {"warn", "critical"}:
            yield f"the memory was short ({device.pressure})"
    under_way = [pull for pull in look.pulls if pull.state == "fetching"]
    if under_way:
        yield f"{counted(len(under_way), 'download')} went on meanwhile"
