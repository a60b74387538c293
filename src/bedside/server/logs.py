"""What the gateway writes to its log: one JSON object a line, and nothing of what anybody said.

    {"at": "2026-11-23T02:03:04.005+00:00", "level": "info", "logger": "bedside.server.logs", "message": "request", "request": "9f0c…",
     "method": "POST", "route": "/v1/triage", "status": 200, "ms": 3.1}

A request is named by its id and by the route's template. Its path, query, headers, body and answer never get here. Of an exception there is
the kind and the places that it came through, because its message may quote what was being read; and of what a library logs there is only
which library and where. bedside's own messages and those of the web server are written out.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "X-Request-ID"
UNMATCHED = "unmatched"
"""Route of a request that no route took."""
_CLIENT_LEFT = 499
"""As web servers log a client that did not wait for its answer."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TRACE_PARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_MOST_PLACES = 20
_WRITTEN_OUT = ("bedside", "uvicorn")
_request_id: ContextVar[str] = ContextVar("request_id", default="")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that is over, as logs, metrics and traces may know it.

    Attributes:
        id: its id, which the client got in `X-Request-ID`.
        method: a known method, or `OTHER`.
        route: the route's template, such as `/v1/triage`, or `unmatched`.
        status: of the answer; 499 where the client left before there was one.
        began: seconds since 1970.
        seconds: until the last byte was handed over.
        trace_parent: W3C trace context that the client sent; empty where it sent none that is well formed.
    """

    id: str
    method: str
    route: str
    status: int
    began: float
    seconds: float
    trace_parent: str = ""


Observer = Callable[[Seen], None]


def request_id() -> str:
    """Id of the request that is being answered; a new one outside of any."""
    return _request_id.get() or uuid.uuid4().hex


class Observed:
    """ASGI middleware, the outermost: gives each request an id, and tells the observers of each that is over.

    The id is the gateway's own, never the client's, who could write anything into the log with it.

    Args:
        app: what answers.
        observers: told in order; besides them each request is logged.
    """

    def __init__(self, app: ASGIApp, observers: Sequence[Observer] = ()) -> None:
        self._app = app
        self._observers = (log_request, *observers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id, began, start = uuid.uuid4().hex, time.time(), time.perf_counter()
        token, status = _request_id.set(id), _CLIENT_LEFT

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = id
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            status = 500 if status == _CLIENT_LEFT else status
            _log.exception("an internal fault")
            raise
        finally:
            _request_id.reset(token)
            seen = Seen(id, _method(scope), _route(scope), status, began, time.perf_counter() - start, _trace_parent(scope))
            for observe in self._observers:
                observe(seen)


def log_request(seen: Seen) -> None:
    """Write the line of a request."""
    fields = {"request": seen.id, "method": seen.method, "route": seen.route, "status": seen.status, "ms": round(seen.seconds * 1000, 1)}
    _log.info("request", extra={"fields": fields})


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON, as this module's page says."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        ours = record.name.partition(".")[0] in _WRITTEN_OUT
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage() if ours else f"(a message of a library, not written out: {record.module} line {record.lineno})",
        }
        if id := _request_id.get():
            line["request"] = id
        if record.exc_info and record.exc_info[0]:
            line |= {"error": record.exc_info[0].__name__, "places": _places(record.exc_info[2])}
        return json.dumps(line | getattr(record, "fields", {}), ensure_ascii=False)


def configure_logs(stream: TextIO | None = None) -> None:
    """Send every log of this process to a stream, standard error by default, as JSON lines: bedside's from `info`, others' from `warning`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("bedside").setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # It would write paths and queries; `log_request` says what may be said.
    logging.getLogger("uvicorn.access").disabled = True


def _places(trace: TracebackType | None) -> list[str]:
    """File, line and function of the last calls, without what they held."""
    frames = traceback.extract_tb(trace)[-_MOST_PLACES:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "OTHER"


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", UNMATCHED))


def _trace_parent(scope: Scope) -> str:
    sent = Headers(scope=scope).get("traceparent", "")
    return sent if _TRACE_PARENT.fullmatch(sent) else ""
