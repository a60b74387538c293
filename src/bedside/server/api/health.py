"""Whether the gateway runs, whether it can answer, which models it has, and its measurements."""

from __future__ import annotations

import time
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from sqlalchemy import text

from bedside.server.access import needs
from bedside.server.gateway import Gateway, gateway_of
from bedside.server.problems import ProblemError, responses
from bedside.workspace.database import DatabaseError

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """The gateway runs."""

    status: str
    release: str
    contract: str
    uptime_seconds: float


class EngineState(BaseModel):
    """One engine: whether it answers, and how many requests it has."""

    name: str
    model: str
    ready: bool
    requests: int


class Ready(BaseModel):
    """What the gateway stands on."""

    ready: bool
    engines: list[EngineState]
    releases_whole: bool
    database: bool


class Model(BaseModel):
    """A model that may be asked."""

    id: str
    object: str
    created: int
    owned_by: str


class Models(BaseModel):
    """All of them."""

    object: str
    data: list[Model]


@router.get("/health", response_model=Health)
async def health(request: Request) -> dict[str, Any]:
    """That the gateway runs, its first model and that model's chat contract, and for how many seconds."""
    gateway = gateway_of(request)
    first = gateway.engines.lanes[0]
    uptime = round(time.monotonic() - gateway.started, 3)
    return {"status": "ok", "release": first.model, "contract": first.engine.contract.hash, "uptime_seconds": uptime}


@router.get("/ready", response_model=Ready, responses={503: {"model": Ready, "description": "Some of it cannot be used."}})
async def ready(request: Request) -> Response:
    """Whether each model has an engine that answers, the releases are whole and the database can be used; 503 where not."""
    gateway = gateway_of(request)
    answering = {lane.model for lane in gateway.engines.lanes if lane.down is None}
    whole = gateway.integrity.problem is None
    database = await to_thread.run_sync(_database_answers, gateway)
    able = answering == set(gateway.engines.models) and whole and database
    engines = [
        {"name": lane.name, "model": lane.model, "ready": lane.down is None and whole, "requests": lane.queue.inside}
        for lane in gateway.engines.lanes
    ]
    body = {"ready": able, "engines": engines, "releases_whole": whole, "database": database}
    return JSONResponse(body, 200 if able else 503)


@router.get("/v1/models", response_model=Models, tags=["OpenAI-compatible"])
async def models(request: Request) -> dict[str, Any]:
    """The models that may be asked, embedding models behind the others."""
    gateway = gateway_of(request)
    names = (*gateway.engines.models, *_embedding_models(gateway))
    created = int(time.time() - (time.monotonic() - gateway.started))
    return {"object": "list", "data": [{"id": name, "object": "model", "created": created, "owned_by": "bedside"} for name in names]}


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    response_model=None,
    dependencies=[needs("metrics")],
    responses=responses(401, 403, 404, 429, 503),
)
async def metrics(request: Request) -> Response:
    """Measurements in Prometheus' text format."""
    gateway = gateway_of(request)
    if not gateway.settings.metrics.enabled:
        raise ProblemError(404, "http_error", "metrics are switched off")
    return Response(gateway.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _database_answers(gateway: Gateway) -> bool:
    try:
        with gateway.store.reading() as connection:
            connection.execute(text("SELECT 1"))
    except DatabaseError:
        return False
    return True


def _embedding_models(gateway: Gateway) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lane.settings.embedding_model for lane in gateway.engines.lanes if lane.settings.embedding_model))
