"""A request becomes one span where OpenTelemetry's variables ask for it, and none anywhere else."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from localllm.metrics.live import Api
from localllm.metrics.traces import attributes_of, is_wanted, name_of, open_traces
from tests.unit.metrics.a_live import NOON, World

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HERE = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: HERE}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": HERE}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": HERE}, False),
        ({ENDPOINT: HERE, "OTEL_SDK_DISABLED": "true"}, False),
        ({ENDPOINT: HERE, "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_opentelemetrys_own_variables_decide(environment: dict[str, str], wanted: bool) -> None:
    assert is_wanted(environment) == wanted


def test_a_missing_extra_is_said_and_nothing_else_happens(caplog: pytest.LogCaptureFixture) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError("none", name=name)

    assert open_traces({ENDPOINT: "http://me:secret@host"}, missing) is None
    assert "opentelemetry.trace is missing: pip install 'localllm[otel]'" in caplog.text
    assert "secret" not in caplog.text


def test_a_protocol_that_is_not_spoken_is_said(caplog: pytest.LogCaptureFixture) -> None:
    environment = {ENDPOINT: HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}

    assert open_traces(environment) is None
    assert "not over grpc" in caplog.text


def test_nothing_of_opentelemetry_is_loaded_unasked() -> None:
    program = (
        "import sys; from localllm.metrics.traces import open_traces; open_traces({});"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert said.stdout.decode().strip() == "[]"


def test_a_span_tells_what_the_conventions_have_names_for() -> None:
    live = World().answered(tokens=3)

    told = attributes_of(live)

    assert name_of(live) == "chat m"
    assert (
        told.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "gen_ai.response.model": "m",
            "gen_ai.request.stream": True,
            "gen_ai.usage.input_tokens": 50,
            "gen_ai.usage.cache_read.input_tokens": 20,
            "gen_ai.usage.output_tokens": 3,
            "gen_ai.usage.reasoning.output_tokens": 1,
            "gen_ai.conversation.id": "session-1",
            "http.response.status_code": 200,
        }.items()
    )
    assert told["gen_ai.response.time_to_first_chunk"] == pytest.approx(2.0)
    assert "error.type" not in told


@pytest.mark.parametrize(
    ("status", "code", "cancelled", "error"),
    [(429, "busy", False, "busy"), (400, None, False, "400"), (499, None, True, "cancelled")],
)
def test_a_span_of_a_failure_says_of_which(
    status: int, code: str | None, cancelled: bool, error: str
) -> None:
    live = World().begin(Api.RERANK)
    live.ended(status, code, cancelled=cancelled)

    told = attributes_of(live)

    assert (told["error.type"], told["gen_ai.operation.name"]) == (error, "rerank")
    assert "gen_ai.response.model" not in told


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An OTLP collector: its address, and the bodies it got."""
    got: list[bytes] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()
        thread.join()


@pytest.mark.anyio
async def test_spans_reach_a_collector(
    collector: tuple[str, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent = pytest.importorskip(
        "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
        reason="the extra `otel` is not installed",
    )
    caplog.set_level(logging.INFO, logger="localllm.metrics")
    endpoint, got = collector
    monkeypatch.setenv(ENDPOINT, endpoint)
    monkeypatch.setenv("NO_PROXY", "*")
    traces = open_traces({ENDPOINT: endpoint})
    assert traces is not None
    world = World()

    traces.finished(world.answered(tokens=3))
    failed = world.begin()
    failed.ended(502, "engine_gone")
    traces.finished(failed)
    await traces.aclose()

    (batch,) = (sent.ExportTraceServiceRequest.FromString(body) for body in got)
    (resource,) = batch.resource_spans
    service = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    spans = [span for scope in resource.scope_spans for span in scope.spans]
    assert service["service.name"] == "localllm"
    assert [(span.name, span.status.code) for span in spans] == [("chat m", 0), ("chat m", 2)]
    assert spans[0].start_time_unix_nano == int(NOON * 1e9)
    assert spans[0].end_time_unix_nano - spans[0].start_time_unix_nano == pytest.approx(2.2e9)
    assert caplog.messages == ["traces: sent over OTLP"]
