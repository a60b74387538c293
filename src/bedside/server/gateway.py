"""The gateway's parts, opened together and closed together."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import Request

from bedside.errors import WorkspaceError
from bedside.server.auditing import GatewayAuditLog
from bedside.server.database import Database
from bedside.server.engines import EnginePool, open_engines
from bedside.server.integrity import Integrity
from bedside.server.keys import KeyStore
from bedside.server.metrics import Metrics
from bedside.server.people import People
from bedside.server.rails import Rails, open_rails
from bedside.server.settings import GatewaySettings

if TYPE_CHECKING:
    from bedside.answers import Answers


@dataclass
class Gateway:
    """What the routes stand on.

    Attributes:
        settings: as they were read.
        engines: the models.
        rails: the safety core as the practice sets it.
        store: the database.
        keys: API keys.
        people: those who may log in to the console.
        audit: the audit log.
        integrity: watches over the releases.
        answers: the organisation's documents; None: there is no index.
        metrics: counters for Prometheus.
        started: `time.monotonic` at the start.
    """

    settings: GatewaySettings
    engines: EnginePool
    rails: Rails
    store: Database
    keys: KeyStore
    people: People
    audit: GatewayAuditLog
    integrity: Integrity
    answers: Answers | None
    metrics: Metrics
    started: float = field(default_factory=time.monotonic)

    def close(self) -> None:
        """Free the models, the index and the database."""
        self.engines.close()
        if self.answers is not None:
            self.answers.close()
        self.store.close()


def open_gateway(settings: GatewaySettings) -> Gateway:
    """Open everything that a gateway stands on. A release that was changed is reported by its routes, not here.

    Raises:
        BedsideError: a release, the practice file, the database, the audit log or the index cannot be used; what was opened is closed.
    """
    try:
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise WorkspaceError(
            f"the state folder {str(settings.state)!r} cannot be made ({error.strerror})", "Change `state`, or its folder's permissions"
        ) from error
    with ExitStack() as opened:
        rails = open_rails(settings)
        metrics = Metrics()
        audit = metrics.audit_log(settings.audit_folder)
        store = Database(settings.database_url)
        opened.callback(store.close)
        integrity = Integrity(settings, audit)
        engines = open_engines(settings.engines)
        opened.callback(engines.close)
        metrics.watch(engines, integrity)
        gateway = Gateway(
            settings=settings,
            engines=engines,
            rails=rails,
            store=store,
            keys=KeyStore(store, audit),
            people=People(store, audit, free=settings.security.login_attempts, longest=60 * settings.security.login_lock_minutes),
            audit=audit,
            integrity=integrity,
            answers=_open_answers(settings),
            metrics=metrics,
        )
        opened.pop_all()
    return gateway


def gateway_of(request: Request) -> Gateway:
    """The gateway that a request came to."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def _open_answers(settings: GatewaySettings) -> Answers | None:
    if settings.answers.index is None:
        return None
    # Retrieval loads torch, which a gateway without documents does not need.
    from bedside.answers import Answers

    return Answers.open(settings.answers.index)
