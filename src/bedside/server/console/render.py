"""How pages are made: one Jinja environment, what every page shows, and faults as pages."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any, NamedTuple

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from bedside import __version__
from bedside.errors import BedsideError
from bedside.server.console.explain import tone
from bedside.server.people import Role
from bedside.server.problems import problem_of
from bedside.server.sessions import csrf_token
from bedside.server.settings import NOTICE
from bedside.workspace.database import DatabaseError

log = logging.getLogger(__name__)

_NEXT = "Go back and mend it, or choose another page"


class Place(NamedTuple):
    """A page of the menu and the least role that may open it."""

    path: str
    label: str
    role: Role


PLACES: dict[str, tuple[Place, ...]] = {
    "Callers": (
        Place("/console/calls", "Calls", Role.reception),
        Place("/console/requests", "Requests", Role.reception),
        Place("/console/phone", "Phone", Role.reception),
        Place("/console/triage", "Triage", Role.reception),
    ),
    "Clinical": (
        Place("/console/ask", "Ask", Role.clinician),
        Place("/console/medicines", "Medicines", Role.clinician),
        Place("/console/medicare", "Medicare", Role.clinician),
    ),
    "System": (
        Place("/console", "Health", Role.reception),
        Place("/console/releases", "Releases", Role.clinician),
        Place("/console/audit", "Audit", Role.admin),
        Place("/console/people", "People", Role.admin),
        Place("/console/keys", "Keys", Role.admin),
    ),
}


def page(request: Request, template: str, *, status: int = 200, **shown: Any) -> HTMLResponse:
    """A whole page.

    Args:
        request: for who is asking and where.
        template: a file of `templates/`.
        status: the HTTP status.
        shown: what the template shows.
    """
    person = getattr(request.state, "person", None)
    places = {
        group: mine for group, all_ in PLACES.items() if (mine := [place for place in all_ if person and person.role.covers(place.role)])
    }
    text = _environment().get_template(template).render(request=request, person=person, places=places, csrf=csrf_token(request), **shown)
    return HTMLResponse(text, status)


def login_of(request: Request) -> str:
    """The login of whoever asks, for the audit log."""
    login: str = request.state.person.login
    return login


def see(path: str) -> RedirectResponse:
    """Go on to a page after a form was taken, so that reloading it does not send the form again."""
    return RedirectResponse(path, 303)


def fault(request: Request, status: int, problem: str, next_step: str) -> Response:
    """A fault as a page; htmx puts it in place of the whole main part, wherever its answer was to go."""
    response = page(request, "fault.html.j2", status=status, problem=problem, next_step=next_step)
    response.headers.update({"HX-Retarget": "#main", "HX-Reselect": "#main > *", "HX-Reswap": "innerHTML"})
    return response


class ConsoleRoute(APIRoute):
    """A route whose faults are pages: a person in a browser cannot use a problem document."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler with faults made into pages."""
        handle = super().get_route_handler()

        async def handle_or_explain(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                refusal = problem_of(error)
                if refusal.status < 400:
                    raise
                if refusal.code == "internal":
                    log.exception("a fault of the console at %s", request.url.path)
                problem, next_step = (error.problem, error.next_step) if isinstance(error, BedsideError) else (str(refusal), _NEXT)
                # What a form asked for that cannot be done is the form's fault; a database that is away is not.
                status = 400 if refusal.code == "not_configured" and not isinstance(error, DatabaseError) else refusal.status
                response = fault(request, status, problem, next_step)
                response.headers.update(refusal.headers)
                return response

        return handle_or_explain


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bedside.server.console"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(notice=NOTICE, version=__version__, today=dt.date.today)
    environment.filters.update(moment=moment, size=size, tone=tone, plural=plural)
    return environment


def moment(at: dt.datetime) -> str:
    """A moment by the gateway's own clock, such as `23 Nov 2026, 14:05:09`."""
    return f"{at.astimezone():%-d %b %Y, %H:%M:%S}"


def size(number: float) -> str:
    """Bytes for people, in decimal units (ISO 80000-13)."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def plural(number: int, word: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
