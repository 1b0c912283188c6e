"""What a replay of recorded traffic came to: the document of `bench --replay --json`, and what is saved.

Times are seconds, speeds tokens per second; null is what nobody knows.
"""

from __future__ import annotations

import msgspec

from localllm.api.bench_views import (
    BenchesView,
    BenchMachineView,
    BenchModelView,
    LatencyView,
)
from localllm.api.views import View

FORMAT = 1


class FailureView(View, frozen=True, kw_only=True):
    says: str
    requests: int


class CacheView(View, frozen=True, kw_only=True):
    """How much of the prompts was in the cache, of requests of which it is known now and then."""

    share: float | None
    recorded: float | None
    alike: int
    """Requests of which as many tokens were cached as when they were recorded, but for a block."""

    requests: int


class PassView(View, frozen=True, kw_only=True):
    """All requests once, or as they were recorded."""

    rate: float | None
    """How many times as fast as recorded; null: this is the recording."""

    requests: int
    failed: int
    failures: list[FailureView]
    """The most frequent ones."""

    took: float
    """From the first request to the last byte; of a recording that has no ends, to the last request."""

    written_tps: float | None
    """Tokens of answers, of all requests together."""

    read_tps: float | None
    """Tokens of prompts that were not in the cache, likewise."""

    requests_per_s: float | None
    first_token: LatencyView | None
    token_gap: LatencyView | None
    """From one token to the next, each gap by itself; as recorded, the mean of each request."""

    request: LatencyView | None
    wait: LatencyView | None
    """In the daemon's queue, of the requests of which it still knew."""

    late: LatencyView | None
    """How long after it was due a request was sent: what the bench itself lacked."""

    most_at_once: int | None
    """Null where nobody knows when requests ended."""

    cache: CacheView
    exact_prompts: int
    """That had exactly as many tokens as were recorded."""

    exact_answers: int


class ReplayView(View, frozen=True, kw_only=True):
    """What `bench --replay FILE --json` prints."""

    format: int = FORMAT
    id: str
    at: float
    """Unix seconds, of its begin."""

    version: str
    """Of localllm."""

    traffic: str
    """The file."""

    recorded_at: float | None
    recorded_model: str | None
    model: BenchModelView
    machine: BenchMachineView
    closed: bool
    """Whether turns waited for the ones before."""

    sent: int
    """Requests of each pass."""

    left_out: int
    recorded: PassView
    passes: list[PassView]
    notes: list[str]
    interrupted: bool = False
    saved: str | None = None


class AllBenchesView(BenchesView, frozen=True, kw_only=True):
    """What `bench --list --json` prints."""

    replays: list[ReplayView]
    """The newest first."""


class ReplaysView(View, frozen=True, kw_only=True):
    """Those that are saved."""

    replays: list[ReplayView]
    left_out: list[str] = msgspec.field(default_factory=list[str])
