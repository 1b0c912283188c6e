"""How fast one stream will be: the bytes' way through memory, and what each layer costs.

A range until it is measured. The constants are fitted to published measurements and checked
by scripts/verify_speed, each device predicted without its own rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LAYER_BANDWIDTHS = (273e9, 1792e9)
"""Bytes per second of the slowest and the fastest CUDA device among the measured ones: past
them nothing is known about what a layer costs, so its cost stays what it is there."""

LAYER_EXPONENT = 0.5
"""Of bandwidth, how a layer's cost falls with it. A choice, not a fit: among CUDA devices wide
memory comes with new, fast cores. Metal's measurements show no such thing."""


@dataclass(frozen=True, slots=True)
class Constants:
    """What scripts/verify_speed fits; only there are there others than FITTED."""

    bandwidth_share: float
    """Of its data sheet's bandwidth, what a device gives to weights while it generates."""

    dense_s: float
    """Per layer of a model, whatever its size: launches, and waits between them. On a CUDA device
    of 1000 GB/s."""

    recurrent_s: float
    """The same, for a model with recurrent layers."""

    experts_s: float
    """The same, for a model with experts, recurrent or not."""

    other_factor: float
    """What a layer costs Metal, of those three; and for want of measurements everybody else."""


FITTED = Constants(
    bandwidth_share=0.92,
    dense_s=0.056e-3,
    recurrent_s=0.097e-3,
    experts_s=0.10e-3,
    other_factor=1.7,
)
"""On every row of profiles/speed/published.toml, to two digits."""

CACHE_SHARE = 0.69
"""Of bandwidth, what reading the cache gets. One card, one model: the series of depths there."""

RANGE = (0.81, 1.1)
"""Of the prediction, between which four of five measurements lie, on devices left out."""

PREFILL_SHARE: Mapping[str, tuple[float, float]] = {"cuda": (0.84, 0.44)}
"""Of a device's half precision operations, what reading a prompt reaches: a dense model, one with
experts. Medians of the published figures; Apple prints no operations to take a share of."""

PREFILL_RANGE = (0.5, 1.15)
"""Low since attention over what was read before is not among Work.flops: a choice, see
docs/speed.md."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one token of one stream goes through on one device."""

    weight_bytes: int
    """Read per generated token; of the experts only those in use."""

    kv_bytes: int
    """Of the cache, read per token when it is full."""

    layers: int
    experts: bool
    recurrent: bool
    flops: float
    """Per token of a prompt: two for each weight that it meets."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One device's part of the way that every token goes."""

    work: Work
    kind: str
    bandwidth: int | None
    """Bytes per second; None where nobody tells."""

    half_precision_flops: float | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second of one stream; the range is where a measurement is expected."""

    decode_tps: float
    """At an empty cache."""

    decode_full_tps: float | None
    """At the end of the context, the whole cache read for every token; None where only a short
    text was measured and nothing is predicted."""

    decode_low_tps: float | None
    decode_high_tps: float | None
    prefill_tps: float | None = None
    """None where the device's operations per second, or the share reached, are unknown."""

    prefill_low_tps: float | None = None
    prefill_high_tps: float | None = None
    measured: bool = False


def predict(stages: Sequence[Stage], constants: Constants = FITTED) -> Speed | None:
    """Predict; None where a bandwidth is unknown. One stage after the other: times add up."""
    empty_s, cache_s = 0.0, 0.0
    for stage in stages:
        if not stage.bandwidth:
            return None
        weights_s = stage.work.weight_bytes / (constants.bandwidth_share * stage.bandwidth)
        empty_s += weights_s + _layers_s(stage, stage.bandwidth, constants)
        cache_s += stage.work.kv_bytes / (CACHE_SHARE * stage.bandwidth)
    if not empty_s:
        return None
    tps, prefill = 1 / empty_s, _prefill_tps(stages)
    return Speed(
        decode_tps=tps,
        decode_full_tps=1 / (empty_s + cache_s),
        decode_low_tps=tps * RANGE[0],
        decode_high_tps=tps * RANGE[1],
        prefill_tps=prefill,
        prefill_low_tps=None if prefill is None else prefill * PREFILL_RANGE[0],
        prefill_high_tps=None if prefill is None else prefill * PREFILL_RANGE[1],
    )


def first_token_s(speed: Speed, prompt_tokens: int, *, cached_tokens: int = 0) -> float | None:
    """Seconds to the first token of an answer; None where the prefill speed is unknown."""
    if speed.prefill_tps is None:
        return None
    return (prompt_tokens - cached_tokens) / speed.prefill_tps + 1 / speed.decode_tps


def _layers_s(stage: Stage, bandwidth: int, constants: Constants) -> float:
    work = stage.work
    recurrent_s = constants.recurrent_s if work.recurrent else constants.dense_s
    layer_s = constants.experts_s if work.experts else recurrent_s
    return work.layers * layer_s * _slowness(stage.kind, bandwidth, constants)


def _slowness(kind: str, bandwidth: int, constants: Constants) -> float:
    if kind != "cuda":
        return constants.other_factor
    slowest, fastest = LAYER_BANDWIDTHS
    clamped = min(max(bandwidth, slowest), fastest)
    return math.pow(1e12 / clamped, LAYER_EXPONENT)


def _prefill_tps(stages: Sequence[Stage]) -> float | None:
    seconds = 0.0
    for stage in stages:
        shares = PREFILL_SHARE.get(stage.kind)
        if shares is None or stage.half_precision_flops is None:
            return None
        share = shares[stage.work.experts]
        seconds += stage.work.flops / (share * stage.half_precision_flops)
    return 1 / seconds if seconds else None
