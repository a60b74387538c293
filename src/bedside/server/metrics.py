"""Measurements for Prometheus, in a registry of the gateway's own. Labels take few values, and never anything that a client wrote.

bedside_requests_total{route,method,status}      bedside_request_seconds{route}       bedside_safety_stops_total{stage}
bedside_dispositions_total{disposition}          bedside_engine_up{engine}            bedside_engine_requests{engine,state}
bedside_release_whole{engine}                    bedside_audit_write_seconds          bedside_audit_waiting
process_…                                        memory, processor time and open files of the gateway
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bedside.knowledge.dispositions import disposition
from bedside.server.auditing import GatewayAuditLog
from bedside.server.engines import EnginePool
from bedside.server.integrity import Integrity
from bedside.server.logs import Seen

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Upper ends of the latency classes: the rules answer in milliseconds, a long answer takes a minute."""


class Metrics:
    """What the gateway counts.

    Attributes:
        registry: of the gateway, apart from the process-wide one.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter("bedside_requests", "Requests answered", ("route", "method", "status"), registry=self.registry)
        self._seconds = Histogram(
            "bedside_request_seconds", "Time until an answer was whole", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self._stops = Counter(
            "bedside_safety_stops", "Questions and answers that the safety core replaced", ("stage",), registry=self.registry
        )
        self._dispositions = Counter(
            "bedside_dispositions", "Where the protocol sent those who asked", ("disposition",), registry=self.registry
        )
        self._audit_seconds = Histogram(
            "bedside_audit_write_seconds", "Time until an audit event was on the disk", buckets=_SECONDS, registry=self.registry
        )
        self._audit_waiting = Gauge("bedside_audit_waiting", "Audit events that are not on the disk yet", registry=self.registry)

    def request(self, seen: Seen) -> None:
        """Count a request that is over."""
        self._requests.labels(seen.route, seen.method, seen.status).inc()
        self._seconds.labels(seen.route).observe(seen.seconds)

    def safety_stopped(self, stage: Literal["question", "answer"]) -> None:
        """Count a question answered with an approved text, or an answer of which something was held back."""
        self._stops.labels(stage).inc()

    def disposed(self, place: str) -> None:
        """Count where a question was sent.

        Raises:
            KnowledgeError: there is no such disposition.
        """
        self._dispositions.labels(disposition(place).id).inc()

    def watch(self, engines: EnginePool, integrity: Integrity) -> None:
        """Show the state of engines and releases whenever the metrics are read."""
        self.registry.register(_States(engines, integrity))

    def audit_log(self, folder: Path) -> GatewayAuditLog:
        """An audit log of which each write is measured.

        Raises:
            AuditError: as for `AuditLog`.
        """
        return GatewayAuditLog(folder, self._audit_seconds, self._audit_waiting)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)


class _States(Collector):
    """Gauges that are read off the gateway's parts when they are asked for."""

    def __init__(self, engines: EnginePool, integrity: Integrity) -> None:
        self._engines = engines
        self._integrity = integrity

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("bedside_engine_up", "1 where the engine answers", labels=["engine"])
        requests = GaugeMetricFamily("bedside_engine_requests", "Requests at the engine", labels=["engine", "state"])
        whole = GaugeMetricFamily("bedside_release_whole", "1 where the release is what its owner made", labels=["engine"])
        for lane in self._engines.lanes:
            waiting = max(0, lane.queue.inside - lane.settings.parallel)
            up.add_metric([lane.name], float(lane.down is None))
            requests.add_metric([lane.name, "running"], lane.queue.inside - waiting)
            requests.add_metric([lane.name, "waiting"], waiting)
        for state in self._integrity.states:
            whole.add_metric([state.engine], float(state.problem is None))
        return iter((up, requests, whole))
