"""One OpenTelemetry span for each request, where OTLP's variables ask for it. Never a prompt.

Nothing of OpenTelemetry is loaded unless they do; the extra `otel` brings it. How a span is sent,
and where, is OpenTelemetry's business, and is set by its own variables.
Names: OpenTelemetry's semantic conventions for GenAI (opentelemetry.io/docs/specs/semconv/gen-ai).
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from anyio import to_thread

from localllm import __version__
from localllm.metrics.live import Api, Live, Phase

_log = logging.getLogger("localllm.metrics")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN = "http/protobuf"
_CLOSE_WITHIN_S = 3.0
_NS = 1_000_000_000
_OPERATIONS = {
    Api.CHAT: "chat",
    Api.RESPONSES: "chat",
    Api.MESSAGES: "chat",
    Api.COMPLETIONS: "text_completion",
    Api.EMBEDDINGS: "embeddings",
}
"""The conventions' words; for the others they have none, so ours is taken."""

Attributes = dict[str, str | bool | int | float]


@dataclass(frozen=True, slots=True)
class Traces:
    """Sends spans from a thread of OpenTelemetry's own."""

    provider: Any
    tracer: Any
    server: Any
    """The kind of a span that answers somebody."""

    failed: Any
    """The status of one that failed."""

    def finished(self, live: Live) -> None:
        """Have a request that is over sent; what cannot be is dropped by OpenTelemetry."""
        began = int(live.began_at * _NS)
        span = self.tracer.start_span(
            name_of(live), kind=self.server, attributes=attributes_of(live), start_time=began
        )
        if live.phase is Phase.FAILED:
            span.set_status(self.failed)
        span.end(end_time=began + int(live.took_s(live.began) * _NS))

    async def aclose(self) -> None:
        """Send what is left, for a short while."""
        with anyio.move_on_after(_CLOSE_WITHIN_S, shield=True):
            await to_thread.run_sync(self.provider.shutdown, abandon_on_cancel=True)


def open_traces(
    environment: Mapping[str, str], load: Callable[[str], Any] = importlib.import_module
) -> Traces | None:
    """Get ready to send spans; None where nobody asked for it, or it cannot be done, which is logged."""
    if not is_wanted(environment):
        return None
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), _SPOKEN)
    if protocol != _SPOKEN:
        _log.warning("no traces: OTLP is spoken over %s here, not over %s", _SPOKEN, protocol)
        return None
    try:
        return _open(environment, load)
    except ImportError as error:
        _log.warning(
            "no traces: OTLP's endpoint is set, but %s is missing: pip install 'localllm[otel]'",
            error.name or "OpenTelemetry",
        )
        return None


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Tell by OpenTelemetry's own variables whether spans are to be sent."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    off = environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none"
    return any(environment.get(name) for name in ENDPOINTS) and not disabled and not off


def name_of(live: Live) -> str:
    """Name a span: what was done, with which model."""
    return " ".join([_operation(live.api), *([live.asked] if live.asked else [])])


def attributes_of(live: Live) -> Attributes:
    """Say what a span tells of a request; what is not known is not among it."""
    told: Mapping[str, str | bool | int | float | None] = {
        "gen_ai.operation.name": _operation(live.api),
        "gen_ai.provider.name": "localllm",
        "gen_ai.request.model": live.asked,
        "gen_ai.request.stream": live.stream,
        "gen_ai.response.model": live.model,
        "gen_ai.response.time_to_first_chunk": live.to_first_token_s,
        "gen_ai.usage.input_tokens": live.prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": live.cached_tokens,
        "gen_ai.usage.output_tokens": None if live.model is None else live.generated_tokens,
        "gen_ai.usage.reasoning.output_tokens": live.reasoning_tokens,
        "gen_ai.conversation.id": live.caller.conversation,
        "http.response.status_code": live.status,
        "error.type": _error_type(live),
        "localllm.request.id": live.id,
        "localllm.api": live.api.value,
        "localllm.instance": live.instance,
        "localllm.engine": live.engine,
        "localllm.client": live.caller.program,
        "localllm.key": live.caller.key_name,
        "localllm.wait": live.wait_s,
        "localllm.decode.tokens_per_second": live.decode_tps,
        "localllm.longest_gap": live.longest_gap_s,
    }
    return {name: value for name, value in told.items() if value is not None}


def _operation(api: Api) -> str:
    return _OPERATIONS.get(api, api.value)


def _error_type(live: Live) -> str | None:
    if live.phase is Phase.CANCELLED:
        return "cancelled"
    return (live.error_code or str(live.status)) if live.phase is Phase.FAILED else None


def _open(environment: Mapping[str, str], load: Callable[[str], Any]) -> Traces:
    api, sdk = load("opentelemetry.trace"), load("opentelemetry.sdk.trace")
    export = load("opentelemetry.sdk.trace.export")
    otlp = load("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    resource = load("opentelemetry.sdk.resources").Resource.create(_resource(environment))
    provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    _log.info("traces: sent over OTLP")
    tracer = provider.get_tracer("localllm", __version__)
    failed = api.Status(api.StatusCode.ERROR)
    return Traces(provider, tracer, api.SpanKind.SERVER, failed)


def _resource(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Name the service, unless the user has."""
    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    version = {"service.version": __version__}
    return version if named else {"service.name": "localllm", **version}
