"""Who may do what: keys for routes of the API, people for pages of the console.

    @router.post("/v1/triage")
    async def triage(asked: TriageRequest, key: KeyInfo = needs("triage")): ...

    @router.get("/console/audit")
    async def audit(request: Request, who: Person = person("admin")): ...

Every request to a console page that may change something has to come from a page of the same session: its `Sec-Fetch-Site` or `Origin`
is looked at first, then its CSRF token.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Awaitable
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from anyio import to_thread
from fastapi import Depends, Request, Response, WebSocketException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from bedside.server.attempts import TooManyAttemptsError, address_subject
from bedside.server.gateway import Gateway
from bedside.server.hashing import in_hashing_thread
from bedside.server.keys import KeyInfo, Scope
from bedside.server.people import Person, Role
from bedside.server.problems import ProblemError
from bedside.server.sessions import Lifetime, Sessions, clear_cookie, csrf_matches, set_cookie, token_of
from bedside.workspace.database import DatabaseError

LOGIN = "/console/login"
HOME = "/console"
KEYLESS = KeyInfo("none", "no key", frozenset(Scope), None, dt.datetime.min.replace(tzinfo=dt.UTC), "settings")
"""Stands for whoever asks where keys are not required."""

_BEARER = HTTPBearer(auto_error=False, scheme_name="key", description="A key that `bedside keys create` made.")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY_VIOLATION = 1008
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def needs(scope: str) -> Any:
    """A FastAPI dependency: the key of a request that may be used for `scope`, or `KEYLESS` where the settings ask for none.

    It refuses with 401 without a good key, 403 without the scope, and 429 with `Retry-After` over the key's rate or after too many guesses.
    """
    wanted = Scope(scope)

    async def key(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> KeyInfo:
        gateway = _gateway(request)
        if not gateway.settings.security.require_keys:
            _admit(gateway, address_subject(_address(request)), gateway.settings.security.keyless_rate_per_minute)
            return KEYLESS
        if given is None:
            raise _refused("no_key", "this needs a key: send the header `Authorization: Bearer KEY`; `bedside keys create` makes one")
        found = gateway.keys.remembered(given.credentials)
        found = found or await _waiting_for(in_hashing_thread(gateway.keys.guess, given.credentials, _address(request)))
        if found is None:
            raise _refused("unknown_key", "this key is not known, has expired, or was revoked; `bedside keys list` shows which keys work")
        if not found.allows(wanted):
            raise ProblemError(403, "scope", f"the key {found.name!r} is not for {wanted}; make one with `bedside keys create`")
        if found.rate_per_minute is not None:
            _admit(gateway, f"key:{found.id}", found.rate_per_minute)
        return found

    return Depends(key)


def person(role: str) -> Any:
    """A FastAPI dependency: whoever is logged in to the console and has at least this role; also kept as `request.state.person`.

    Others are sent to the login page (303), and refused with 403 where the role is not enough or a form came from elsewhere. On a WebSocket
    both end in a closed connection.
    """
    least = Role(role)

    async def somebody(connection: HTTPConnection) -> Person:
        token = token_of(connection)
        found = await _waiting_for(to_thread.run_sync(_sessions(connection).person, token)) if token else None
        if connection.scope["type"] == "websocket":
            if found is None or not found.role.covers(least):
                raise WebSocketException(_POLICY_VIOLATION)
            return found
        if found is None:
            raise _to_login(connection)
        connection.state.person = found
        if not found.role.covers(least):
            raise ProblemError(403, "role", f"this page is for the role {least}; {found.login} has the role {found.role}")
        if isinstance(connection, Request) and connection.method not in _READING:
            await _check_form(connection)
        return found

    return Depends(somebody)


def own_page(request: Request) -> None:
    """Refuse a form that a page of another site sent, for forms without a session such as the login (`Depends(own_page)`).

    Browsers say so in `Sec-Fetch-Site`, older ones in `Origin`; a program that sends neither carries nobody's cookies unasked.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = site in ("same-origin", "none") if site else origin is None or origin.partition("://")[2] == request.headers.get("host")
    if not own:
        raise ProblemError(403, "other_site", "this form was sent by a page of another site; open the page here and send it again")


async def log_in(request: Request, response: Response, login: str, password: str) -> Person | None:
    """Check a password and begin a session, whose cookie goes into `response`; the browser's former session ends.

    Returns:
        Who it is; None where the login or the password is wrong, which of them is not told.

    Raises:
        TooManyAttemptsError: the login or the address has to wait for its `wait` seconds.
        ProblemError: 503, the database cannot be used.
    """
    people = _gateway(request).people
    try:
        found = await in_hashing_thread(people.check, login, password, _address(request))
        if found is not None:
            await _end_session(request)
            set_cookie(request, response, await to_thread.run_sync(_sessions(request).start, found.login))
    except DatabaseError as error:
        raise _unusable(error) from error
    return found


async def log_out(request: Request, response: Response) -> None:
    """End the session, and take its cookie from the browser."""
    await _end_session(request)
    clear_cookie(request, response)


def local_path(wanted: str | None) -> str:
    """Where to go after the login: a page of this console, or its first page where `wanted` is anything else."""
    plain = wanted or ""
    is_page = plain == HOME or plain.startswith((f"{HOME}/", f"{HOME}?"))
    return plain if is_page and plain.isascii() and plain.isprintable() and "\\" not in plain and "//" not in plain else HOME


async def _check_form(request: Request) -> None:
    own_page(request)
    given = request.headers.get("x-csrf-token")
    if given is None and "form" in request.headers.get("content-type", ""):
        given = str((await request.form()).get("csrf", ""))
    if not csrf_matches(request, given or ""):
        raise ProblemError(403, "csrf", "this form is not from your session, or is too old; open the page again and send it once more")


async def _end_session(request: Request) -> None:
    token = token_of(request)
    if token:
        await to_thread.run_sync(_sessions(request).end, token)


def _admit(gateway: Gateway, subject: str, per_minute: int) -> None:
    wait = gateway.keys.rates.admit(subject, per_minute)
    if wait:
        raise ProblemError(429, "rate_limited", f"{per_minute} requests a minute are allowed; ask again in {wait} s", retry_after=wait)


async def _waiting_for(work: Awaitable[_T]) -> _T:
    """What came of a look into the database, its faults as refusals."""
    try:
        return await work
    except TooManyAttemptsError as error:
        detail = f"too many keys were tried from this address; ask again in {error.wait} s"
        raise ProblemError(429, "too_many_attempts", detail, retry_after=error.wait) from error
    except DatabaseError as error:
        raise _unusable(error) from error


def _unusable(error: DatabaseError) -> ProblemError:
    _log.error("%s", error)
    return ProblemError(503, "database", "the gateway's database cannot be used; its log says why", retry_after=5)


def _refused(code: str, detail: str) -> ProblemError:
    return ProblemError(401, code, detail, headers={"WWW-Authenticate": 'Bearer realm="bedside"'})


def _to_login(connection: HTTPConnection) -> Exception:
    """Send a browser to the login page, and back afterwards; htmx follows its own header, and otherwise puts that page into this one."""
    path = connection.url.path + (f"?{connection.url.query}" if connection.url.query else "")
    wanted = local_path(path) if connection.scope["method"] == "GET" else HOME
    target = f"{LOGIN}?next={quote(wanted, safe='')}"
    if "hx-request" in connection.headers:
        return ProblemError(
            401, "login", "this session has ended; log in again", headers={"HX-Redirect": f"{LOGIN}?next={quote(HOME, safe='')}"}
        )
    return HTTPException(303, "log in first", headers={"Location": target})


def _sessions(connection: HTTPConnection) -> Sessions:
    gateway = _gateway(connection)
    security = gateway.settings.security
    lifetime = Lifetime(dt.timedelta(minutes=security.session_idle_minutes), dt.timedelta(hours=security.session_hours))
    return Sessions(gateway.store, lifetime)


def _gateway(connection: HTTPConnection) -> Gateway:
    gateway: Gateway = connection.app.state.gateway
    return gateway


def _address(request: HTTPConnection) -> str:
    return request.client.host if request.client else "unknown"
