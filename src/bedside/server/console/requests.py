"""Requests: what callers asked of staff, the most urgent first, and what became of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Literal, NamedTuple, get_args

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from bedside.errors import WorkspaceError
from bedside.phone.database import Database
from bedside.phone.patients import Patient, Patients
from bedside.phone.requests import Owner, RequestError, Requests, kinds
from bedside.phone.requests import Request as Asked
from bedside.server.access import person
from bedside.server.console.render import ConsoleRoute, login_of, page, see
from bedside.server.gateway import Gateway, gateway_of

Change = Literal["in-progress", "completed", "rejected"]

router = APIRouter(route_class=ConsoleRoute, prefix="/console/requests", dependencies=[person("reception")])


class Row(NamedTuple):
    """A request with who it is for, where the caller said who they are."""

    asked: Asked
    title: str
    patient: Patient | None
    late: bool


@router.get("")
def requests(request: Request, owner: Owner | Literal[""] = "") -> Response:
    """What waits for staff; that somebody looked is logged."""
    gateway = gateway_of(request)
    rows: list[Row] = []
    unset: WorkspaceError | None = None
    try:
        with _line(gateway) as (asked, patients):
            gateway.audit.append("audit.read", by=login_of(request), query=f"requests owner={owner or 'all'}")
            rows = [_row(one, patients) for one in asked.waiting(owner or None)]
    except WorkspaceError as error:
        unset = error
    return page(request, "requests.html.j2", rows=rows, owner=owner, owners=get_args(Owner), unset=unset)


@router.post("/{name}")
def change(request: Request, name: str, status: Annotated[Change, Form()], note: Annotated[str, Form(max_length=500)] = "") -> Response:
    """Staff take a request up, finish it, or say why it was not done."""
    if status == "rejected" and not note.strip():
        raise RequestError("a request that is not done needs a reason", "Go back and write one")
    gateway, by = gateway_of(request), request.state.person
    with _line(gateway) as (asked, _):
        asked.update(name, status, by.login, note.strip() or None)
    gateway.audit.append("review.decided", item=name[:64], by=by.login, role=str(by.role), decision=status)
    return see("/console/requests")


def _row(asked: Asked, patients: Patients) -> Row:
    patient = patients.get(asked.patient) if asked.patient else None
    return Row(asked, kinds()[asked.kind].about, patient, asked.due < dt.datetime.now(dt.UTC))


@contextmanager
def _line(gateway: Gateway) -> Iterator[tuple[Requests, Patients]]:
    """The line's requests and patients: in its own SQLite file, or in the database that it shares with the gateway.

    Raises:
        WorkspaceError: there is no practice file, or the gateway was not told where the line is.
        DatabaseError: its database cannot be used.
    """
    practice, folder = gateway.rails.practice, gateway.settings.phone.data
    if practice is None or folder is None:
        raise WorkspaceError("requests need the practice file and the line's --data folder", "Set practice and phone.data in gateway.yaml")
    own = folder / "practice.sqlite"
    with closing(Database(own if own.is_file() else gateway.settings.database_url)) as database:
        yield Requests(database, practice), Patients(database)
