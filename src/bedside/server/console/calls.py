"""Calls: a day's list, and one call with what was said, how long each stage took, and why each decision was made."""

from __future__ import annotations

import datetime as dt

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from bedside.errors import WorkspaceError
from bedside.phone.call.text import Transcript
from bedside.server.access import person
from bedside.server.console.calllog import STAGES, CallLog, CallSummary, bars
from bedside.server.console.render import ConsoleRoute, fault, login_of, page
from bedside.server.gateway import gateway_of

router = APIRouter(route_class=ConsoleRoute, prefix="/console/calls", dependencies=[person("reception")])


@router.get("")
def calls(request: Request, day: dt.date | None = None) -> Response:
    """The calls of a day."""
    shown, one = day or dt.date.today(), dt.timedelta(days=1)
    found: list[CallSummary] = []
    unset: WorkspaceError | None = None
    try:
        found = _log(request).on(shown, login_of(request))
    except WorkspaceError as error:
        unset = error
    return page(request, "calls.html.j2", calls=found, unset=unset, day=shown, before=shown - one, after=shown + one)


@router.get("/{day}/{name}")
def call(request: Request, day: dt.date, name: str) -> Response:
    """One call."""
    log = _log(request)
    found = log.call(day, name, login_of(request))
    if found is None:
        return fault(request, 404, f"the log of {day} has no call {name[:64]!r}", "Choose one from the list of calls")
    transcript: Transcript | None = None
    unreadable: WorkspaceError | None = None
    try:
        transcript = log.transcript(name)
    except WorkspaceError as error:
        unreadable = error
    return page(
        request,
        "call.html.j2",
        call=found,
        day=day,
        transcript=transcript,
        unreadable=unreadable,
        bars=bars(transcript) if transcript else [],
        stages=STAGES,
        has_recording=log.recording(name) is not None,
    )


@router.get("/{day}/{name}/recording")
def recording(request: Request, day: dt.date, name: str) -> Response:
    """The sound of a call."""
    log = _log(request)
    path = log.recording(name)
    if path is None:
        return fault(request, 404, "this call has no recording, or it is no longer kept", "Read the call's decisions instead")
    log.audit.append("records.exported", by=login_of(request), kinds=["recording"], count=1)
    return FileResponse(path, media_type="audio/wav", headers={"Cache-Control": "no-store"})


def _log(request: Request) -> CallLog:
    return CallLog(gateway_of(request).settings.phone.data)
