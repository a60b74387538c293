"""The gateway as a web application, and as a process that serves it."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from anyio import to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from bedside import __version__
from bedside.errors import BedsideError
from bedside.server import retention
from bedside.server.api import answers, chat, embeddings, health, rules, understanding
from bedside.server.gateway import Gateway, open_gateway
from bedside.server.headers import SecurityHeaders
from bedside.server.limits import BodyLimit, patient_protocol
from bedside.server.logs import Observed, configure_logs
from bedside.server.problems import Problem, add_problem_handlers
from bedside.server.settings import NOTICE, GatewaySettings, ListenSettings
from bedside.server.telemetry import open_tracing
from bedside.server.tls import server_context

_SHUTDOWN_SECONDS = 10
_HEADER_BYTES = 32_768
_API = (chat, understanding, rules, embeddings, answers, health)


def make_app(gateway: Gateway) -> FastAPI:
    """The gateway's routes over its parts, which stay the caller's to close."""
    description = f"{gateway.settings.scope.name}: models behind a safety core. {NOTICE}"
    # FastAPI's documentation pages load their scripts from elsewhere; `/openapi.json` needs nothing.
    app = FastAPI(title="bedside", version=__version__, description=description, docs_url=None, redoc_url=None, lifespan=_background)
    endpoint = gateway.settings.telemetry.otlp_endpoint
    tracing = open_tracing(endpoint) if endpoint else None
    app.state.gateway, app.state.tracing = gateway, tracing
    # Added from the inside to the outside.
    app.add_middleware(BodyLimit, limits=gateway.settings.limits)
    add_problem_handlers(app)
    app.add_middleware(SecurityHeaders, listen=gateway.settings.listen)
    app.add_middleware(Observed, observers=[gateway.metrics.request, *([tracing.request] if tracing else [])])
    for module in _API:
        app.include_router(module.router)
    if gateway.settings.security.console:
        # Its templates are of no use to a gateway without a console.
        from bedside.server.console import pages

        app.include_router(pages.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def serve(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then let running answers end for up to 10 s, and close everything.

    Raises:
        BedsideError: a part of the gateway cannot be opened, or the address cannot be listened on.
    """
    configure_logs()
    listen = settings.listen
    with _listening(listen) as listener:
        gateway = open_gateway(settings)
        try:
            with _signals_handled():
                _greet(gateway, _address(listen, listener.getsockname()[1]))
                server = uvicorn.Server(server_config(gateway))
                # What was loaded stays to the end. Each full look of the garbage collector at it would hold up every answer for some 80 ms.
                gc.collect()
                gc.freeze()
                server.run(sockets=[listener])
        finally:
            gateway.close()


@asynccontextmanager
async def _background(app: FastAPI) -> AsyncIterator[None]:
    """What a gateway does unasked, while it serves."""
    gateway: Gateway = app.state.gateway
    watches = (
        gateway.engines.watch(),
        gateway.integrity.watch(),
        retention.every_day(gateway.settings, gateway.store, gateway.audit),
    )
    tasks = [asyncio.create_task(watch) for watch in watches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if app.state.tracing is not None:
            await to_thread.run_sync(app.state.tracing.close)


def server_config(gateway: Gateway) -> uvicorn.Config:
    """How uvicorn serves a gateway: with its limits, its proxies and its certificate."""
    listen, limits = gateway.settings.listen, gateway.settings.limits
    tls = listen.tls
    return uvicorn.Config(
        make_app(gateway),
        http=patient_protocol(limits.header_seconds),  # type: ignore[arg-type]
        ws="websockets-sansio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(listen.proxies),
        forwarded_allow_ips=list(listen.proxies),
        limit_concurrency=limits.connections,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        ssl_context_factory=(lambda _, __: server_context(tls.certificate, tls.key)) if tls else None,
    )


def _listening(listen: ListenSettings) -> socket.socket:
    try:
        listener = socket.create_server((listen.host, listen.port), family=socket.AF_INET6 if ":" in listen.host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise BedsideError(
            f"cannot listen on {listen.host}:{listen.port} ({error})", "Stop what listens there, or choose another port or host"
        ) from error
    # Connections take it over. asyncio sets it only on sockets that it opened itself; without it the body of an answer waits some 40 ms
    # for the client to acknowledge its head (Nagle's algorithm, RFC 9293 §3.7.4, against delayed acknowledgements).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@contextmanager
def _signals_handled() -> Iterator[None]:
    """Uvicorn raises the signal that ended it once more; without handlers of ours that would kill the process, its engines not closed."""
    stops = (signal.SIGINT, signal.SIGTERM)
    before = {stop: signal.signal(stop, lambda *_: None) for stop in stops}
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)


def _address(listen: ListenSettings, port: int) -> str:
    shown = f"[{listen.host}]" if ":" in listen.host else listen.host
    return f"{'https' if listen.tls else 'http'}://{shown}:{port}"


def _greet(gateway: Gateway, address: str) -> None:
    print(f"bedside serves {', '.join(gateway.engines.models)} at {address}")
    print(f"Try: {_example(gateway, address)}")
    if gateway.settings.security.console:
        print(f"Console: {address}/console")
    print(f"Audit log: {gateway.settings.audit_folder}", flush=True)


def _example(gateway: Gateway, address: str) -> str:
    first = gateway.engines.lanes[0]
    path, body = "/v1/chat/completions", {"model": first.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 40}
    if first.understands:
        path, body = "/v1/understand", {"text": "can I get in with Dr Nguyen on Thursday"}
    key = " -H 'Authorization: Bearer KEY'" if gateway.settings.security.require_keys else ""
    return f"curl -s {address}{path}{key} -H 'Content-Type: application/json' -d '{json.dumps(body)}'"


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: with the problem documents, and without the 422 that FastAPI promises and this gateway never sends."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        parts = schema.setdefault("components", {}).setdefault("schemas", {})
        parts.pop("HTTPValidationError", None)
        parts.pop("ValidationError", None)
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        parts |= problem.pop("$defs", {}) | {"Problem": problem}
        app.openapi_schema = schema
    return app.openapi_schema
