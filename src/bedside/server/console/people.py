"""People and keys: who may sign in to the console, and which programs may ask."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from bedside.errors import BedsideError
from bedside.server.access import person
from bedside.server.console.render import ConsoleRoute, login_of, page, see
from bedside.server.gateway import gateway_of
from bedside.server.keys import KeyInfo, KeysError, Scope
from bedside.server.people import LONGEST_PASSWORD, SHORTEST_PASSWORD, PeopleError, Role

PASSWORD_RULE = f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, such as four words that do not belong together"

router = APIRouter(route_class=ConsoleRoute, prefix="/console", dependencies=[person("admin")])

Text = Annotated[str, Form(max_length=LONGEST_PASSWORD)]


@router.get("/people")
def people(request: Request) -> Response:
    """Everybody with a login."""
    return _people(request)


@router.post("/people")
def add_person(request: Request, login: Text, role: Annotated[Role, Form()], password: Text) -> Response:
    """Add somebody."""
    try:
        gateway_of(request).people.add(login, role, password, login_of(request))
    except PeopleError as error:
        return _people(request, problem=error)
    return see("/console/people")


@router.post("/people/{login}/role")
def change_role(request: Request, login: str, role: Annotated[Role, Form()]) -> Response:
    """Give somebody another role."""
    try:
        gateway_of(request).people.change_role(login, role, login_of(request))
    except PeopleError as error:
        return _people(request, problem=error)
    return see("/console/people")


@router.post("/people/{login}/password")
def set_password(request: Request, login: str, password: Text) -> Response:
    """Set a password for somebody who forgot theirs, or is locked out."""
    try:
        gateway_of(request).people.change_password(login, password, login_of(request))
    except PeopleError as error:
        return _people(request, problem=error)
    return see("/console/people")


@router.post("/people/{login}/active")
def set_active(request: Request, login: str, active: Annotated[bool, Form()]) -> Response:
    """Let somebody in, or keep them out; their sessions end."""
    known = gateway_of(request).people
    try:
        (known.enable if active else known.disable)(login, login_of(request))
    except PeopleError as error:
        return _people(request, problem=error)
    return see("/console/people")


@router.get("/keys")
def keys(request: Request) -> Response:
    """All API keys, without their secrets."""
    return _keys(request)


@router.post("/keys")
def create_key(
    request: Request,
    name: Text,
    scopes: Annotated[list[Scope], Form()] = [],  # noqa: B006  FastAPI reads the default and never changes it
    rate: Annotated[str, Form(max_length=12)] = "",
    until: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Make a key and show its secret, once."""
    try:
        made = gateway_of(request).keys.create(name.strip(), scopes, _rate(rate), _end_of(until), login_of(request))
    except BedsideError as error:
        return _keys(request, problem=error)
    return _keys(request, made=made)


@router.post("/keys/{key}/rotate")
def rotate_key(request: Request, key: str) -> Response:
    """Make a key's successor and show its secret, once."""
    try:
        return _keys(request, made=gateway_of(request).keys.rotate(key, login_of(request)))
    except BedsideError as error:
        return _keys(request, problem=error)


@router.post("/keys/{key}/revoke")
def revoke_key(request: Request, key: str) -> Response:
    """Stop a key for good."""
    try:
        gateway_of(request).keys.revoke(key, login_of(request))
    except BedsideError as error:
        return _keys(request, problem=error)
    return see("/console/keys")


def _people(request: Request, *, problem: BedsideError | None = None) -> Response:
    everybody = gateway_of(request).people.list()
    return page(
        request, "people.html.j2", status=400 if problem else 200, people=everybody, roles=list(Role), rule=PASSWORD_RULE, problem=problem
    )


def _keys(request: Request, *, made: tuple[KeyInfo, str] | None = None, problem: BedsideError | None = None) -> Response:
    now = dt.datetime.now(dt.UTC)
    listed = gateway_of(request).keys.list()
    response = page(
        request,
        "keys.html.j2",
        status=400 if problem else 200,
        working=[key for key in listed if key.works(now)],
        ended=[key for key in listed if not key.works(now)],
        scopes=list(Scope),
        made=made,
        problem=problem,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _rate(text: str) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isdecimal():
        raise KeysError(f"{text[:20]!r} is no number of requests a minute", "Give a whole number, or leave it empty for no limit")
    return int(text)


def _end_of(day: str) -> dt.datetime | None:
    """The end of a day by this machine's clock; None for no day."""
    if not day.strip():
        return None
    try:
        return dt.datetime.combine(dt.date.fromisoformat(day.strip()), dt.time(23, 59, 59)).astimezone()
    except ValueError as error:
        raise KeysError(f"{day!r} is no day", "Write it like 2027-06-30, or leave it empty for no end") from error
