"""What an engine's own Prometheus metrics say of its load. Pure.

Only what ours are fed with is read: three gauges, by the names that vLLM and SGLang give them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_SAMPLE = re.compile(
    r"""^(?P<name>[a-zA-Z_:][\w:]*)"""
    r"""(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?"""
    r"""[ \t]+(?P<value>\S+)(?:[ \t]+-?\d+)?[ \t]*$""",
    re.MULTILINE,
)
"""A name, labels whose values may hold anything, a value, and perhaps a time."""

_WAITING = ("vllm:num_requests_waiting", "sglang:num_queue_reqs")
_RUNNING = ("vllm:num_requests_running", "sglang:num_running_reqs")
_KV_USED = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage")
"""vLLM renamed its gauge in 2025. All three are shares, though two say per cent."""


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """None: the engine does not say."""

    waiting: int | None = None
    running: int | None = None
    kv_used_share: float | None = None
    """Of the cache's tokens, from 0 to 1; of the fullest, where the engine has several."""


def parse_metrics(text: str) -> EngineMetrics:
    """Read Prometheus' text format; what is malformed, or no number, counts as not said.

    An engine with several ranks has one sample for each: requests add up.
    """
    samples: dict[str, list[float]] = {}
    for found in _SAMPLE.finditer(text):
        value = _number(found["value"])
        if value is not None:
            samples.setdefault(found["name"], []).append(value)
    waiting, running, used = (_first(samples, names) for names in (_WAITING, _RUNNING, _KV_USED))
    return EngineMetrics(
        waiting=None if waiting is None else round(sum(waiting)),
        running=None if running is None else round(sum(running)),
        kv_used_share=None if used is None else max(used),
    )


def _first(samples: Mapping[str, list[float]], names: tuple[str, ...]) -> list[float] | None:
    return next((samples[name] for name in names if name in samples), None)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
