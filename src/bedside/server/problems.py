"""Refusals as problem documents (RFC 9457) with a stable `code`. None repeats what was sent, because that may be a patient's words."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bedside.engine.openai import RefusedRequestError
from bedside.errors import BedsideError, EngineError, PromptTooLongError
from bedside.workspace.audit import AuditError

MEDIA_TYPE = "application/problem+json"
_MOST_FAULTS = 20
_ADDRESS = re.compile(r"https?://[^\s'\")]+")
_TOOL_FIELDS = {"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"}
_NO_TOOLS = "this gateway answers in words and never calls tools or functions; leave the field out"
_log = logging.getLogger(__name__)


class Fault(BaseModel):
    """One thing that is wrong with a request: the JSON pointer of its place, and what is wrong there."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(extra="allow")
    type: str = "about:blank"
    title: str = Field(description="The HTTP status in words.")
    status: int
    detail: str = Field(description="What is wrong and what to do about it, in one sentence.")
    code: str = Field(description="A stable word for programs.")
    errors: list[Fault] | None = Field(default=None, description="Every fault of an invalid request.")


class ProblemError(Exception):
    """A refusal that is sent to the client as `application/problem+json`.

    Args:
        status: the HTTP status.
        code: a stable word for programs.
        detail: one sentence for people; never the request's text.
        more: further members of the problem document.
        retry_after: seconds for a `Retry-After` header.
        headers: further headers of the response.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, retry_after: int | None = None, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.headers = dict(headers or {}) | ({} if retry_after is None else {"Retry-After": str(retry_after)})
        self.document = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
            **more,
        }

    def response(self) -> Response:
        """The problem document as an HTTP response."""
        return JSONResponse(self.document, self.status, self.headers, media_type=MEDIA_TYPE)


def problem_of(error: Exception) -> ProblemError:
    """The refusal that an exception becomes; what nobody foresaw is `internal` and says nothing."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error.errors())
    if isinstance(error, EngineError):
        return _engine_problem(error)
    if isinstance(error, AuditError):
        return ProblemError(503, "audit_failed", f"nothing is answered that cannot be logged: {error}")
    if isinstance(error, HTTPException):
        return ProblemError(error.status_code, "http_error", str(error.detail), headers=error.headers)
    if isinstance(error, BedsideError):
        return ProblemError(503, "not_configured", str(error))
    _log.error("internal fault", exc_info=error)
    return ProblemError(500, "internal", "an internal fault; the server's log tells more")


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every exception that leaves a route with its problem document."""

    async def refused(_: Request, error: Exception) -> Response:
        return problem_of(error).response()

    for kind in (ProblemError, RequestValidationError, HTTPException, BedsideError):
        app.add_exception_handler(kind, refused)
    app.add_middleware(Faults)


class Faults:
    """ASGI middleware that answers whatever nobody foresaw with a problem document, and lets no trace out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            problem = problem_of(error)
            if scope["type"] == "http" and not begun:
                await problem.response()(scope, receive, send)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for its description in the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in sorted(statuses)}


def _engine_problem(error: EngineError) -> ProblemError:
    # Where the engines are is nobody's business but the gateway's.
    detail = _ADDRESS.sub("the engine", str(error))
    if isinstance(error, PromptTooLongError):
        return ProblemError(400, "context_length_exceeded", detail)
    if isinstance(error, RefusedRequestError) and error.status in (400, 413, 422):
        return ProblemError(400, "engine_refused", detail)
    if isinstance(error, RefusedRequestError) and error.status == 429:
        return ProblemError(503, "engine_busy", detail, retry_after=math.ceil(error.retry_after or 1))
    return ProblemError(503, "engine_failed", detail)


def _invalid(errors: Sequence[Any]) -> ProblemError:
    faults = [{"pointer": _pointer(error["loc"]), "detail": _fault(error)} for error in errors[:_MOST_FAULTS]]
    said = "; ".join(f"{fault['pointer'] or 'the body'}: {fault['detail']}" for fault in faults)
    return ProblemError(400, "invalid_request", said, errors=faults)


def _fault(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return _NO_TOOLS if error["loc"][-1] in _TOOL_FIELDS else "this field is unknown or not supported here"
    return str(error["msg"]).removeprefix("Value error, ")


def _pointer(place: Sequence[str | int]) -> str:
    """The JSON pointer of a fault; a name that the client chose is shortened and made printable."""
    parts = [str(part)[:60].encode("ascii", "backslashreplace").decode() for part in place if part != "body"]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
