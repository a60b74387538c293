"""The audit log: search it, check it, take it away. That somebody looked is itself logged before they see anything."""

from __future__ import annotations

import datetime as dt
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, field_validator

from bedside.server.access import person
from bedside.server.console.calllog import CallLog
from bedside.server.console.render import ConsoleRoute, login_of, page
from bedside.server.gateway import gateway_of
from bedside.workspace.audit import AuditLog, Entry, events

MOST_SHOWN = 200
_FIELDS = ("kind", "by", "call", "request")

router = APIRouter(route_class=ConsoleRoute, prefix="/console/audit", dependencies=[person("admin")])

LogName = Literal["gateway", "line"]


class AuditQuery(BaseModel):
    """What is looked for.

    Attributes:
        log: the gateway's own log, or the phone line's.
        since, until: days (UTC), both included.
        kind, by, call, request: values of entries; "" for any.
    """

    log: LogName = "gateway"
    since: dt.date
    until: dt.date
    kind: str = ""
    by: str = ""
    call: str = ""
    request: str = ""

    @field_validator(*_FIELDS)
    @classmethod
    def _short(cls, value: str) -> str:
        return value.strip()[:100]

    @property
    def wanted(self) -> dict[str, Any]:
        """The query as `AuditLog.read` takes it."""
        fields = {name: value for name in _FIELDS if (value := getattr(self, name))}
        return {"since": self.since, "until": self.until, **fields}


def _query(
    log: LogName = "gateway",
    since: dt.date | None = None,
    until: dt.date | None = None,
    kind: Annotated[str, Query(max_length=100)] = "",
    by: Annotated[str, Query(max_length=100)] = "",
    call: Annotated[str, Query(max_length=100)] = "",
    request_id: Annotated[str, Query(alias="request", max_length=100)] = "",
) -> AuditQuery:
    last = until or dt.datetime.now(dt.UTC).date()
    return AuditQuery(log=log, since=since or last - dt.timedelta(days=6), until=last, kind=kind, by=by, call=call, request=request_id)


Asked = Annotated[AuditQuery, Depends(_query)]


@router.get("")
def search(request: Request, query: Asked) -> Response:
    """Entries that fit, newest first."""
    found = deque(_log(request, query.log).read(login_of(request), **query.wanted), maxlen=MOST_SHOWN + 1)
    more = len(found) > MOST_SHOWN
    return page(
        request,
        "audit.html.j2",
        query=query,
        entries=list(reversed(found))[:MOST_SHOWN],
        more=more,
        kinds=sorted(events()),
        has_line=gateway_of(request).settings.phone.data is not None,
        verified=None,
    )


@router.post("/verify")
def verify(request: Request, log: Annotated[LogName, Form()] = "gateway") -> Response:
    """Check every entry, the chain and the seals of a log."""
    audit = _log(request, log)
    found = audit.verify()
    audit.append("audit.verified", by=login_of(request), ok=found.broken is None, entries=found.entries, head=found.head.hash)
    return page(request, "audit_verified.html.j2", log=log, verified=found)


@router.get("/export")
def export(request: Request, query: Asked) -> Response:
    """All entries that fit, as JSON Lines."""
    audit = _log(request, query.log)
    audit.append("records.exported", by=login_of(request), kinds=["audit", query.log])
    name = f"audit-{query.log}-{query.since}-{query.until}.jsonl"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(_lines(audit.read(login_of(request), **query.wanted)), media_type="application/jsonl", headers=headers)


def _lines(entries: Iterator[Entry]) -> Iterator[str]:
    for entry in entries:
        yield json.dumps({**asdict(entry), "at": entry.at.isoformat()}, ensure_ascii=False) + "\n"


def _log(request: Request, name: LogName) -> AuditLog:
    gateway = gateway_of(request)
    return gateway.audit if name == "gateway" else CallLog(gateway.settings.phone.data).audit
