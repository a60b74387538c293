"""Traces: a collector gets a span for each request, and nothing of what was said."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from typing import Any

import pytest

from bedside.server.logs import Seen
from bedside.server.telemetry import TelemetryError, open_tracing

INSTALLED = find_spec("opentelemetry.exporter") is not None and find_spec("opentelemetry.sdk") is not None
needs_opentelemetry = pytest.mark.skipif(not INSTALLED, reason="pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http")


class Collector(HTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@needs_opentelemetry
def test_a_request_is_a_span_that_continues_the_client_s_trace(collector: Collector) -> None:
    import gzip

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    tracing = open_tracing(f"http://127.0.0.1:{collector.server_port}")
    tracing.request(Seen("9f0c", "POST", "/v1/triage", 503, 1_790_000_000.0, 0.25, f"00-{'a' * 32}-{'b' * 16}-01"))
    tracing.close()
    (body,) = collector.bodies
    sent = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
    (resource,) = sent.resource_spans
    (span,) = resource.scope_spans[0].spans
    assert span.name == "POST /v1/triage" and span.trace_id.hex() == "a" * 32 and span.parent_span_id.hex() == "b" * 16
    assert span.end_time_unix_nano - span.start_time_unix_nano == pytest.approx(250_000_000, rel=0.01)
    assert {one.key for one in span.attributes} == {
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "bedside.request",
    }
    assert {one.key for one in resource.resource.attributes} == {"service.name", "service.version"}


def test_without_opentelemetry_the_setting_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TelemetryError, match="pip install opentelemetry-sdk"):
        open_tracing("http://127.0.0.1:4318")
