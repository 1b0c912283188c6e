"""What a bench measured: the document of `bench --json`, and what is saved of it.

Times are seconds, speeds tokens per second, memory bytes; null is what nobody knows.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from localllm.api.views import View

FORMAT = 1
"""Of a saved bench. A newer one is not read, a newer localllm reads all older ones."""


class SpreadView(View, frozen=True, kw_only=True):
    """Repeats of one measurement."""

    median: float
    low: float
    """The quarter of them lies below."""

    high: float
    n: int


class LatencyView(View, frozen=True, kw_only=True):
    """Many times, in seconds."""

    mean: float
    p50: float
    p95: float | None
    """Null of fewer than 20."""

    p99: float | None
    """Null of fewer than 100."""

    max: float
    n: int


class EngineSaysView(View, frozen=True, kw_only=True):
    """By the engine's own clock, without what lies between it and a client."""

    prefill_tps: float | None
    decode_tps: float | None


class PointView(View, frozen=True, kw_only=True):
    """One thing that was measured: `depth` tokens in the context, so many requests at once."""

    depth: int
    concurrency: int
    prompt: int
    """Tokens that each request brought anew."""

    generate: int
    warm: bool
    """Whether the depth was in the cache."""

    requests: int
    failed: int
    error: str | None
    """What the first of those that failed said."""

    prompt_tokens: float | None
    """As the engine counted them, on average; depth and prompt together."""

    cached_tokens: float | None
    generated_tokens: float | None
    prefill: SpreadView | None
    """Tokens read until the first one of the answer, by its time; of a single stream."""

    decode: SpreadView | None
    """Of each stream, after its first token."""

    first_token: LatencyView | None
    token_gap: LatencyView | None
    """From one token to the next, each gap by itself."""

    request: LatencyView | None
    """From the request to its last byte."""

    throughput: SpreadView | None
    """Tokens of answers, of all requests together, by the time from the first request to the last
    byte."""

    engine: EngineSaysView
    memory: int | None
    """Resident in the engine's process after it, as the system says."""

    device_memory: int | None
    """In use on all accelerators after it, whoever has it; null where there is none that tells."""

    energy: float | None
    """Joules of all devices meanwhile, where they tell."""

    foreign: int
    """Requests of others to this daemon meanwhile."""


class BenchDeviceView(View, frozen=True, kw_only=True):
    name: str
    kind: str
    memory_total: int | None
    driver: str | None


class BenchMachineView(View, frozen=True, kw_only=True):
    """Where it was measured; figures of two machines are not compared."""

    os: str
    arch: str
    cpu: str | None
    cores: int
    memory_total: int
    devices: list[BenchDeviceView]


class BenchModelView(View, frozen=True, kw_only=True):
    """What was measured."""

    id: str
    quant: str | None
    file: str | None
    file_bytes: int | None
    sha256: str | None
    """Null where hashing it would take longer than the bench."""

    engine: str
    engine_version: str | None
    engine_args: list[str]
    device: str
    context: int
    parallel: int
    layers_on_device: int
    layers: int


class PredictedView(View, frozen=True, kw_only=True):
    """What the plan said, beside what was measured of a single stream at depth 0."""

    decode_tps: float | None
    """Null where nothing could be predicted."""

    low: float | None
    high: float | None
    """Between which four of five measurements lie; see docs/speed.md."""

    memory: int
    verdict: Literal["as predicted", "slower", "faster", "unknown"]
    says: str


class OwnView(View, frozen=True, kw_only=True):
    """What the bench itself took while requests were under way."""

    cpu: float
    """Seconds of processor."""

    wall: float
    share: float
    """Of one core."""


class ChangeView(View, frozen=True, kw_only=True):
    """One figure beside an earlier one."""

    depth: int
    concurrency: int
    figure: Literal["prefill", "decode", "first_token", "throughput"]
    before: float
    now: float
    change: float
    """Share by which it is more; 0.1 is a tenth."""

    noise: float | None
    """Share below which a change tells nothing; null where one of the two was measured once."""

    verdict: Literal["faster", "slower", "the same", "unknown"]


class ComparisonView(View, frozen=True, kw_only=True):
    run: str
    at: float
    changes: list[ChangeView]
    differences: list[str]
    """What else is not as it was: the engine's version, the context, the driver."""


class BenchView(View, frozen=True, kw_only=True):
    """What `bench --json` prints."""

    format: int = FORMAT
    id: str
    at: float
    """Unix seconds, of its begin."""

    took: float
    version: str
    """Of localllm."""

    model: BenchModelView
    machine: BenchMachineView
    prompt: int
    generate: int
    repeat: int
    points: list[PointView]
    predicted: PredictedView
    memory_measured: int | None
    """What the engine's own log adds up to."""

    own: OwnView
    notes: list[str]
    """What may have disturbed it."""

    interrupted: bool = False
    saved: str | None = None
    """The file; null: it was not to be saved."""

    comparison: ComparisonView | None = None


class BenchesView(View, frozen=True, kw_only=True):
    """What `bench --list --json` prints."""

    runs: list[BenchView]
    """The newest first."""

    left_out: list[str] = msgspec.field(default_factory=list[str])
    """Files that cannot be read, and why."""
