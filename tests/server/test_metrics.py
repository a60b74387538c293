"""The metrics: what an alert needs, in Prometheus' format, with labels of few values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bedside.engine.openai import OpenAIEngine
from bedside.errors import EngineError, KnowledgeError
from bedside.server.engines import EnginePool, Lane
from bedside.server.integrity import Integrity
from bedside.server.logs import Seen
from bedside.server.metrics import Metrics
from bedside.server.settings import EngineSettings, GatewaySettings
from fixtures_release import CONTRACT, flip, make_release

Value = Callable[..., float | None]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def value(metrics: Metrics) -> Value:
    """The value of a sample by name and labels, as a scraper reads it; None: there is no such sample."""

    def read(name: str, **labels: str) -> float | None:
        families = text_string_to_metric_families(metrics.text().decode())
        samples = (sample for family in families for sample in family.samples)
        return next((one.value for one in samples if one.name == name and one.labels == labels), None)

    return read


def seen(route: str = "/v1/triage", status: int = 200, seconds: float = 0.003) -> Seen:
    return Seen("id", "POST", route, status, 1_790_000_000.0, seconds)


def test_requests_are_counted_by_route_and_status_and_timed(metrics: Metrics, value: Value) -> None:
    for status in (200, 200, 429):
        metrics.request(seen(status=status))
    assert value("bedside_requests_total", route="/v1/triage", method="POST", status="200") == 2
    assert value("bedside_requests_total", route="/v1/triage", method="POST", status="429") == 1
    assert value("bedside_request_seconds_count", route="/v1/triage") == 3
    assert value("bedside_request_seconds_bucket", route="/v1/triage", le="0.0025") == 0
    assert value("bedside_request_seconds_bucket", route="/v1/triage", le="0.005") == 3


def test_safety_stops_and_dispositions_are_counted_and_no_other_word_gets_in(metrics: Metrics, value: Value) -> None:
    metrics.safety_stopped("answer")
    metrics.disposed("E000")
    assert value("bedside_safety_stops_total", stage="answer") == 1
    assert value("bedside_dispositions_total", disposition="E000") == 1
    with pytest.raises(KnowledgeError):
        metrics.disposed("chest pain")


def test_the_audit_log_s_delay_is_measured(metrics: Metrics, value: Value, tmp_path: Path) -> None:
    log = metrics.audit_log(tmp_path / "audit")
    log.append("login", by="jo", ok=True)
    assert log.verify().entries == 1
    assert value("bedside_audit_write_seconds_count") == 1
    assert value("bedside_audit_waiting") == 0


def test_engines_and_releases_show_their_state_when_they_are_read(metrics: Metrics, value: Value, tmp_path: Path) -> None:
    release = make_release(tmp_path / "release")
    settings = GatewaySettings(engines=(EngineSettings(name="clinic-line", release=release),), state=tmp_path / "state")
    remote = EngineSettings(name="gpu", kind="openai", url="http://127.0.0.1:9", model="m")
    pool = EnginePool([Lane(remote, OpenAIEngine("http://127.0.0.1:9", CONTRACT, model="m"))])
    watched = Integrity(settings, metrics.audit_log(settings.audit_folder))
    metrics.watch(pool, watched)
    assert value("bedside_engine_up", engine="gpu") == 1
    assert value("bedside_engine_requests", engine="gpu", state="waiting") == 0
    assert value("bedside_release_whole", engine="clinic-line") == 1
    pool.lanes[0].failed(EngineError("it is off", "start it"))
    flip(release / "model.gguf")
    watched.check()
    assert value("bedside_engine_up", engine="gpu") == 0
    assert value("bedside_release_whole", engine="clinic-line") == 0
    pool.close()


def test_the_process_is_measured(value: Value) -> None:
    assert (value("process_resident_memory_bytes") or 0) > 1_000_000
