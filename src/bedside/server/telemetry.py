"""Traces for an OpenTelemetry collector, where the settings name one: a span for each request, and nothing of what was said.

A span has the route's template, the method, the status and the request's id, by the names of OpenTelemetry's conventions for HTTP. It
continues the trace of a client that sent a W3C `traceparent`. The collector is the only place that anything is sent to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bedside import __version__
from bedside.errors import BedsideError
from bedside.server.logs import Seen

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_NANO = 1_000_000_000


class TelemetryError(BedsideError):
    """Traces cannot be sent."""


class Tracing:
    """Sends a span for each request that is over; sending goes on in a thread of its own.

    Args:
        provider: where spans go.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("bedside", __version__)

    def request(self, seen: Seen) -> None:
        """Send the span of a request."""
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        span = self._tracer.start_span(
            f"{seen.method} {seen.route}",
            TraceContextTextMapPropagator().extract({"traceparent": seen.trace_parent}),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": seen.method,
                "http.route": seen.route,
                "http.response.status_code": seen.status,
                "bedside.request": seen.id,
            },
            start_time=int(seen.began * _NANO),
        )
        if seen.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(int((seen.began + seen.seconds) * _NANO))

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def open_tracing(endpoint: str) -> Tracing:
    """Traces to a collector that takes OTLP over HTTP.

    Args:
        endpoint: its root, such as http://127.0.0.1:4318.

    Raises:
        TelemetryError: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TelemetryError(
            f"telemetry.otlp_endpoint is set, and OpenTelemetry is not installed ({error})",
            "Type `pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http`, or take the setting out",
        ) from error
    # The resource names the program alone: what OpenTelemetry would find out about the machine and its processes stays there.
    provider = TracerProvider(resource=Resource({"service.name": "bedside", "service.version": __version__}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    return Tracing(provider)
