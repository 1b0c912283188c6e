"""What `/metrics` says: the right numbers, under names that follow Prometheus' rules."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from localllm.events import Decided, InstanceId, Missed, ModelId, StateChanged, Topic
from localllm.events import ModelState as S
from localllm.metrics import names
from localllm.metrics.callers import caller_of
from localllm.metrics.counters import Counters
from localllm.metrics.live import Api
from localllm.metrics.names import Kind
from localllm.metrics.prometheus import Exposition
from localllm.metrics.savings import Spared
from localllm.metrics.snapshot import Snapshot
from tests.unit.metrics.a_live import World
from tests.unit.metrics.a_snapshot import INSTANCE, SNAPSHOT

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


class Scraped(World):
    """A world with counters that are told of it as the gateway tells them."""

    def __init__(self, snapshot: Snapshot = SNAPSHOT) -> None:
        super().__init__()
        self.counters = Counters()
        self.requests.when_one_ends.append(
            lambda live: self.counters.finished(live, Spared(20, 1.5))
        )
        self.exposition = Exposition(self.counters, self.requests, lambda: snapshot)

    def samples(self) -> Samples:
        text = self.exposition.render().decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((f"localllm_{name}", frozenset(labels.items())))


def turned(model: str, old: S, new: S) -> StateChanged:
    return StateChanged(InstanceId(f"{model}:1"), ModelId(model), old, new, "why")


def test_an_answered_request_is_in_every_sum() -> None:
    world = Scraped()

    world.answered(tokens=3)

    expected = {
        ("requests_total", "api=chat model=m status=2xx code=none"): 1,
        ("client_requests_total", "client=claude-cli"): 1,
        ("prompt_tokens_total", "model=m"): 50,
        ("cached_prompt_tokens_total", "model=m"): 20,
        ("read_prompt_tokens_total", "model=m"): 30,
        ("saved_seconds_total", "model=m"): 1.5,
        ("generated_tokens_total", "model=m"): 3,
        ("reasoning_tokens_total", "model=m"): 1,
        ("request_wait_seconds_count", "model=m"): 1,
        ("request_wait_seconds_sum", "model=m"): 1,
        ("time_to_first_token_seconds_sum", "model=m"): 2,
        ("time_to_first_token_seconds_bucket", "model=m le=1.0"): 0,
        ("time_to_first_token_seconds_bucket", "model=m le=2.5"): 1,
        ("time_to_first_token_seconds_bucket", "model=m le=+Inf"): 1,
        ("inter_token_latency_seconds_count", "model=m"): 2,
        ("inter_token_latency_seconds_sum", "model=m"): 0.2,
        ("request_duration_seconds_sum", "api=chat model=m"): 2.2,
    }
    found = {
        key: world.value(key[0], **dict(pair.split("=") for pair in key[1].split()))
        for key in expected
    }
    assert found == pytest.approx(expected)


def test_tokens_are_counted_while_they_come_and_once() -> None:
    world = Scraped()
    live = world.begin()
    live.admitted("m:1", "m", "xllamacpp")
    seen = []
    for _ in range(3):
        world.clock.now += 0.1
        live.piece()
        seen.append(world.value("generated_tokens_total", model="m"))

    live.ended(200)

    assert [*seen, world.value("generated_tokens_total", model="m")] == [1, 2, 3, 3]
    assert world.value("inter_token_latency_seconds_count", model="m") == 2


@pytest.mark.parametrize(
    ("status", "code", "cancelled", "labels"),
    [
        (429, "busy", False, {"status": "4xx", "code": "busy"}),
        (502, "engine_gone", False, {"status": "5xx", "code": "engine_gone"}),
        (499, None, True, {"status": "4xx", "code": "cancelled"}),
        (500, "sk-Secret", False, {"status": "5xx", "code": "other"}),
    ],
)
def test_what_fails_before_an_instance_had_it_belongs_to_no_model(
    status: int, code: str | None, cancelled: bool, labels: dict[str, str]
) -> None:
    world = Scraped()

    world.begin(asked="sk-whatever").ended(status, code, cancelled=cancelled)

    assert world.value("requests_total", api="chat", model="none", **labels) == 1
    assert b"sk-" not in world.exposition.render()


@pytest.mark.parametrize(
    ("events", "metric", "labels", "count"),
    [
        ([turned("m", S.WARMING, S.READY)], "model_loads_total", {"model": "m"}, 1),
        ([turned("m", S.READY, S.DRAINING)], "model_loads_total", {"model": "m"}, 0),
        ([turned("m", S.READY, S.BACKOFF)], "engine_crashes_total", {"model": "m"}, 1),
        ([turned("m", S.STOPPING, S.FAILED)], "engine_crashes_total", {"model": "m"}, 1),
        ([turned("m", S.BACKOFF, S.STARTING)], "engine_restarts_total", {"model": "m"}, 1),
        ([turned("m", S.STOPPED, S.STARTING)], "engine_restarts_total", {"model": "m"}, 0),
        ([Decided(Topic.SWITCHED, "so")] * 2, "switches_total", {"result": "switched"}, 2),
        ([Decided(Topic.ROLLED_BACK, "so")], "switches_total", {"result": "rolled_back"}, 1),
        ([Decided(Topic.DEVICE_LOST, "so")], "decisions_total", {"topic": "device_lost"}, 1),
        ([], "decisions_total", {"topic": "memory_pressure"}, 0),
        ([Missed(3), Missed(4)], "missed_events_total", {}, 7),
    ],
)
def test_events_are_counted_by_what_they_mean(
    events: list[StateChanged | Decided | Missed], metric: str, labels: dict[str, str], count: int
) -> None:
    world = Scraped()

    for event in events:
        world.counters.saw(event)

    assert world.value(metric, **labels) == count


def test_gauges_show_what_the_snapshot_says() -> None:
    world = Scraped()
    world.begin()
    world.begin().admitted("m:1", "m", "e")
    of_it = {"model": "m", "instance_id": "m:1"}

    assert world.value("requests_active", **of_it) == 2
    assert world.value("requests_waiting", **of_it) == 1
    assert world.value("kv_cache_used_ratio", **of_it) == 0.25
    assert world.value("engine_memory_predicted_bytes", **of_it) == 9 << 30
    assert world.value("instance_state", **of_it, state="ready") == 1
    assert world.value("instance_state", **of_it, state="failed") == 0
    assert world.value("device_power_watts", device="cuda:0") == 420.5
    assert world.value("device_lost", device="cuda:0") == 0
    assert world.value("ledger_dropped_requests_total") == 3
    assert world.value("requests_under_way", phase="waiting") == 1
    assert world.value("requests_under_way", phase="prefill") == 1
    assert world.value("requests_under_way", phase="generating") == 0


def test_what_nobody_knows_is_not_shown() -> None:
    unknown = replace(INSTANCE, kv_used_ratio=None, measured_bytes=None)
    world = Scraped(replace(SNAPSHOT, instances=(unknown,)))

    of_it = {"model": "m", "instance_id": "m:1"}
    assert world.value("kv_cache_used_ratio", **of_it) is None
    assert world.value("engine_memory_measured_bytes", **of_it) is None
    assert world.value("device_power_watts", device="cpu") is None


def test_names_labels_and_help_follow_prometheus_rules() -> None:
    """What `promtool check metrics` would say, and a little more."""
    world = Scraped()
    world.answered()
    text = world.exposition.render().decode()
    ours = [f for f in text_string_to_metric_families(text) if f.name.startswith("localllm_")]
    complaints = []
    for family in ours:
        name = family.name
        if not family.documentation.endswith("."):
            complaints.append(f"{name}: its help is no sentence")
        if family.type == "gauge" and name.endswith(("_total", "_count", "_sum", "_bucket")):
            complaints.append(f"{name}: a gauge with the ending of another kind")
        if family.type == "histogram" and not name.endswith("_seconds"):
            complaints.append(f"{name}: a histogram without a unit")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or "__" in name:
            complaints.append(f"{name}: not in snake case")
        if re.search(r"_(ms|millis\w*|mib|mb|kb|gib|minutes|percent|mw|kelvin)(_|$)", name):
            complaints.append(f"{name}: not a base unit")
        if set(name.split("_")) & {family.type, "counter", "gauge", "histogram"}:
            complaints.append(f"{name}: says its kind")
        for sample in family.samples:
            if family.type == "counter" and not sample.name.endswith("_total"):
                complaints.append(f"{sample.name}: a counter without _total")
            complaints += [
                f"{name}: label {label}"
                for label in sample.labels
                if not label.islower() or label in {"instance", "job"}  # Prometheus' own
            ]
    assert complaints == []
    assert len({f.name for f in ours}) == len(ours)


def test_every_metric_of_the_table_is_shown_with_its_labels_and_no_other_is() -> None:
    world = Scraped()
    world.answered()
    world.counters.saw(turned("m", S.WARMING, S.READY))
    text = world.exposition.render().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, labels)

    ours = {name: shown for name, shown in found.items() if name.startswith("localllm_")}
    assert ours == {m.name: (m.kind.value, set(m.labels)) for m in names.METRICS}
    assert {"process_resident_memory_bytes", "process_open_fds"} <= found.keys() or (
        sys.platform != "linux"
    )


def test_buckets_rise_from_milliseconds_to_minutes() -> None:
    for metric in names.METRICS:
        assert list(metric.bounds) == sorted(set(metric.bounds))
        assert (metric.kind is Kind.HISTOGRAM) == bool(metric.bounds)
    assert (names.LONG_BOUNDS_S[0], names.LONG_BOUNDS_S[-1]) == (0.005, 600)


def test_whoever_calls_under_ever_new_names_makes_no_ever_new_series() -> None:
    world = Scraped()
    for number in range(500):
        live = world.begin(caller=caller_of(f"program-{number}/1"), asked=f"asked-{number}")
        live.admitted(f"m{number}:1", f"m{number}", "e")
        live.ended(500, f"code_{number}")

    by_client = world.counters.counts[names.CLIENT_REQUESTS].by
    by_request = world.counters.counts[names.REQUESTS].by
    assert (len(by_client), sum(by_client.values())) == (31, 500)
    assert len({labels[1] for labels in by_request}) == 101
    assert len({labels[3] for labels in by_request}) == 61
    assert b"asked-" not in world.exposition.render()


def test_hostile_labels_do_not_break_the_format() -> None:
    world = Scraped()
    live = world.begin()
    live.admitted("i", 'm"\n{}\\', "e")
    live.ended(200)

    assert world.value("prompt_tokens_total", model='m"\n{}\\') == 0


def test_counting_tokens_or_embedding_is_not_writing() -> None:
    world = Scraped()
    for api in (Api.COUNT_TOKENS, Api.EMBEDDINGS):
        live = world.begin(api)
        live.admitted("m:1", "m", "e")
        live.piece()
        live.used(prompt=10)
        live.ended(200)

    assert world.value("prompt_tokens_total", model="m") == 10
    assert world.value("time_to_first_token_seconds_count", model="m") is None


def test_the_library_is_loaded_by_a_scrape_and_not_before() -> None:
    program = (
        "import sys; import localllm.metrics.prometheus, localllm.metrics.requests;"
        "print('prometheus_client' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert said.stdout.decode().strip() == "False"
