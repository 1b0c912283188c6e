"""Two runs beside each other: what changed by more than chance. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from math import hypot
from typing import Literal

from localllm.api.bench_views import (
    BenchMachineView,
    BenchView,
    ChangeView,
    ComparisonView,
    LatencyView,
    PointView,
    SpreadView,
)
from localllm.wording.figures import counted, size_of

FLOOR = 0.03
"""Share below which a change is never news: two runs of the same on a quiet machine differ so much."""

Figure = Literal["prefill", "decode", "first_token", "throughput"]
Verdict = Literal["faster", "slower", "the same", "unknown"]
_SINGLE: tuple[Figure, ...] = ("prefill", "decode")
_CROWD: tuple[Figure, ...] = ("throughput",)
_OF_MODEL = (
    *("id", "quant"),
    *("engine", "engine_version", "engine_args", "device"),
    *("context", "parallel", "layers_on_device"),
)
_NAMES = {"id": "another model", "quant": "another quantization"}
_LEAST = 2
"""Of one value nobody knows the spread."""


def compare(now: BenchView, before: BenchView) -> ComparisonView:
    """Set a run beside an earlier one, point by point; points that only one of them has are left out."""
    earlier = {_key(point): point for point in before.points}
    changes = [
        change
        for point in now.points
        if (other := earlier.get(_key(point))) is not None
        for change in _changes(point, other)
    ]
    return ComparisonView(
        run=before.id, at=before.at, changes=changes, differences=[*_differences(now, before)]
    )


def is_measured_alike(one: BenchView, other: BenchView) -> bool:
    """Tell whether they have a point in common."""
    return not {*map(_key, one.points)}.isdisjoint(map(_key, other.points))


def _key(point: PointView) -> tuple[object, ...]:
    return (point.depth, point.concurrency, point.prompt, point.generate, point.warm)


def _changes(now: PointView, before: PointView) -> Iterator[ChangeView]:
    for figure in _SINGLE if now.concurrency == 1 else _CROWD:
        a, b = getattr(before, figure), getattr(now, figure)
        if isinstance(a, SpreadView) and isinstance(b, SpreadView) and a.median > 0:
            yield _change(now, figure, (a.median, b.median), noise_of(a, b))
    first, second = before.first_token, now.first_token
    if first is not None and second is not None and first.p50 > 0 and now.concurrency > 1:
        yield _change(now, "first_token", (first.p50, second.p50), _latency_noise(first, second))


def noise_of(a: SpreadView, b: SpreadView) -> float | None:
    """Share by which the two medians may differ by chance; None where one was measured once.

    Both interquartile ranges, added as independent errors are, and never below FLOOR. That is wide:
    from a few repeats in a row nobody knows how much the same would differ an hour later.
    """
    if min(a.n, b.n) < _LEAST:
        return None
    return max(FLOOR, hypot(*((one.high - one.low) / one.median for one in (a, b))))


def _latency_noise(a: LatencyView, b: LatencyView) -> float | None:
    """The same of times whose quartiles are not kept: from the middle to the slowest is more."""
    if min(a.n, b.n) < _LEAST:
        return None
    return max(FLOOR, hypot(*((one.max - one.p50) / one.p50 for one in (a, b))))


def _change(
    point: PointView, figure: Figure, pair: tuple[float, float], noise: float | None
) -> ChangeView:
    before, now = pair
    share = now / before - 1
    return ChangeView(
        depth=point.depth,
        concurrency=point.concurrency,
        figure=figure,
        before=before,
        now=now,
        change=share,
        noise=noise,
        verdict=_verdict(share, noise, more_is_faster=figure != "first_token"),
    )


def _verdict(share: float, noise: float | None, *, more_is_faster: bool) -> Verdict:
    if noise is None:
        return "unknown"
    if abs(share) <= noise:
        return "the same"
    return "faster" if (share > 0) == more_is_faster else "slower"


def _differences(now: BenchView, before: BenchView) -> Iterator[str]:
    """Say what else is not as it was."""
    if (there := machine_in_words(before.machine)) != (here := machine_in_words(now.machine)):
        yield f"another machine: {there}; now {here}"
    for name in _OF_MODEL:
        old, new = getattr(before.model, name), getattr(now.model, name)
        if old != new:
            yield f"{_NAMES.get(name, name.replace('_', ' '))}: {_said(old)}, now {_said(new)}"
    if _file(before) != _file(now):
        yield "the model's file is another one"
    drivers = [{d.name: d.driver for d in view.machine.devices} for view in (before, now)]
    for device in drivers[0].keys() & drivers[1].keys():
        if drivers[0][device] != drivers[1][device]:
            yield f"driver of {device}: {drivers[0][device]}, now {drivers[1][device]}"
    if before.version != now.version:
        yield f"localllm: {before.version}, now {now.version}"


def machine_in_words(machine: BenchMachineView) -> str:
    """Say what makes a machine another one: not its driver, nor how much memory a boot leaves.

    >>> machine_in_words(BenchMachineView(os="linux", arch="x86_64", cpu="AMD EPYC", cores=2,
    ...                                   memory_total=1, devices=[]))
    'AMD EPYC, 2 cores, linux x86_64'
    """
    cards = [
        f"{device.name} ({size_of(device.memory_total)})"
        for device in machine.devices
        if device.kind != "cpu"
    ]
    host = f"{counted(machine.cores, 'core')}, {machine.os} {machine.arch}"
    return ", ".join([machine.cpu or "a processor", host, *cards])


def _file(view: BenchView) -> tuple[object, ...]:
    return view.model.file_bytes, view.model.sha256


def _said(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
