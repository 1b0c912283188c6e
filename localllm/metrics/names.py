"""Every metric of `/metrics`: its name, kind, labels and help. Pure.

Names follow Prometheus' rules (prometheus.io/docs/practices/naming): base units at the end, `_total`
for counters. Where one says `model`, it is the id that clients send.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from localllm.metrics.live import GAP_BOUNDS_S

LONG_BOUNDS_S = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
"""From the answer of an embedding model to a long prompt on a processor."""


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One family of series."""

    name: str
    """As it is shown; of a histogram without `_bucket`, `_sum` and `_count`."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, without the last, which has none."""


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"localllm_{name}_total", Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"localllm_{name}", Kind.GAUGE, text, labels)


def _histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Metric:
    return Metric(f"localllm_{name}_seconds", Kind.HISTOGRAM, text, labels, bounds)


_INSTANCE = ("model", "instance_id")
"""A label `instance` would clash with Prometheus' own, which is the daemon's address."""

REQUESTS = _counter(
    "requests",
    "Requests that are over, by the class of their status, as in 2xx, and the error's code.",
    *("api", "model", "status", "code"),
)
CLIENT_REQUESTS = _counter(
    "client_requests", "Requests that are over, by the program that sent them.", "client"
)
PROMPT_TOKENS = _counter(
    "prompt_tokens",
    "Tokens of prompts, cached ones among them, of requests that are over.",
    "model",
)
CACHED_TOKENS = _counter(
    "cached_prompt_tokens", "Tokens of prompts that were in the cache, so not read again.", "model"
)
READ_TOKENS = _counter("read_prompt_tokens", "Tokens of prompts that were read.", "model")
SAVED_SECONDS = _counter(
    "saved_seconds",
    "What reading the cached tokens would have taken at least, where that is known.",
    "model",
)
GENERATED_TOKENS = _counter("generated_tokens", "Tokens generated, as they come.", "model")
REASONING_TOKENS = _counter(
    "reasoning_tokens", "Of the generated tokens those of reasoning, where engines tell.", "model"
)
WAIT = _histogram(
    "request_wait", "From a request's arrival until an engine had it.", LONG_BOUNDS_S, "model"
)
FIRST_TOKEN = _histogram(
    "time_to_first_token", "From a request's arrival to its first token.", LONG_BOUNDS_S, "model"
)
INTER_TOKEN = _histogram(
    "inter_token_latency",
    "From one generated token to the next, as the gateway sees them.",
    GAP_BOUNDS_S,
    "model",
)
DURATION = _histogram(
    "request_duration",
    "From a request's arrival to the end of its answer.",
    LONG_BOUNDS_S,
    *("api", "model"),
)
LOADS = _counter("model_loads", "Times that a model got ready to serve.", "model")
CRASHES = _counter("engine_crashes", "Engine processes that ended unasked.", "model")
RESTARTS = _counter("engine_restarts", "Engine processes started again after a crash.", "model")
SWITCHES = _counter(
    "switches", "Takeovers from one model by another, by result: switched or rolled_back.", "result"
)
DECISIONS = _counter("decisions", "What was decided or happened to the machine, by topic.", "topic")
MISSED_EVENTS = _counter("missed_events", "Events that the counters were too slow to see.")
LEDGER_DROPPED = _counter(
    "ledger_dropped_requests", "Requests that could not be written into the ledger."
)

BUILD = _gauge("build_info", "Always 1; the version is a label.", "version")
STARTED = _gauge("start_time_seconds", "When the daemon was started, in Unix time.")
INSTANCE = _gauge(
    "instance_info",
    "Always 1 for each instance that is known; what it is made of is in the labels.",
    *(*_INSTANCE, "engine", "device", "quantization"),
)
STATE = _gauge(
    "instance_state",
    "1 for the state that an instance is in, 0 for the others.",
    *_INSTANCE,
    "state",
)
CONTEXT = _gauge(
    "context_tokens", "Tokens that one instance's cache holds, over all its slots.", *_INSTANCE
)
SLOTS = _gauge("slots", "Requests that an instance serves at the same time.", *_INSTANCE)
ACTIVE = _gauge("requests_active", "Requests that an engine has.", *_INSTANCE)
WAITING = _gauge(
    "requests_waiting", "Requests that wait for a place at an instance: its queue.", *_INSTANCE
)
UNDER_WAY = _gauge("requests_under_way", "Requests by phase, whoever answers them.", "phase")
KV_USED = _gauge(
    "kv_cache_used_ratio", "Share of the cache's cells in use, where the engine tells.", *_INSTANCE
)
PREDICTED = _gauge(
    "engine_memory_predicted_bytes", "What an instance was planned to take.", *_INSTANCE
)
MEASURED = _gauge(
    "engine_memory_measured_bytes", "What the engine's own log adds up to.", *_INSTANCE
)
RESIDENT = _gauge(
    "engine_memory_resident_bytes",
    "What the system says the engine's process holds, a mapped model file among it.",
    *_INSTANCE,
)
DEVICE = _gauge("device_info", "Always 1 for each device.", "device", "kind", "name")
DEVICE_MEMORY = _gauge("device_memory_bytes", "Memory that a device has.", "device")
DEVICE_USED = _gauge("device_memory_used_bytes", "Memory in use, whoever has it.", "device")
DEVICE_POWER = _gauge("device_power_watts", "What a device draws.", "device")
DEVICE_ENERGY = _counter(
    "device_energy_joules",
    "What a device used since the daemon was started, as far as it was looked at.",
    "device",
)
DEVICE_TEMPERATURE = _gauge("device_temperature_celsius", "How hot a device is.", "device")
DEVICE_UTILIZATION = _gauge(
    "device_utilization_ratio", "Share of the time in which the device computed.", "device"
)
DEVICE_LOST = _gauge("device_lost", "1 for a device that does not answer any more.", "device")
DEVICE_THROTTLED = _gauge("device_throttled", "1 for a device that is slowed down.", "device")
HOST_MEMORY = _gauge("host_memory_bytes", "Memory of the host, or of our control group.")
HOST_AVAILABLE = _gauge("host_memory_available_bytes", "Memory that can be taken without swapping.")

COUNTED = (
    *(REQUESTS, CLIENT_REQUESTS, PROMPT_TOKENS, CACHED_TOKENS, READ_TOKENS, SAVED_SECONDS),
    *(GENERATED_TOKENS, REASONING_TOKENS),
    *(WAIT, FIRST_TOKEN, INTER_TOKEN, DURATION, LOADS, CRASHES, RESTARTS, SWITCHES, DECISIONS),
    MISSED_EVENTS,
)
"""What happens, as counters.py counts it."""

SHOWN = (
    *(BUILD, STARTED, INSTANCE, STATE, CONTEXT, SLOTS, ACTIVE, WAITING, UNDER_WAY, KV_USED),
    *(PREDICTED, MEASURED, RESIDENT, DEVICE, DEVICE_MEMORY, DEVICE_USED, DEVICE_POWER),
    *(
        DEVICE_ENERGY,
        DEVICE_TEMPERATURE,
        DEVICE_UTILIZATION,
        DEVICE_LOST,
        DEVICE_THROTTLED,
        HOST_MEMORY,
    ),
    *(HOST_AVAILABLE, LEDGER_DROPPED),
)
"""What is, at the moment of a scrape."""

METRICS = (*COUNTED, *SHOWN)
