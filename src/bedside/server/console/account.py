"""Signing in and out, and one's own password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from bedside.errors import BedsideError
from bedside.server.access import LOGIN, local_path, log_in, log_out, own_page, person
from bedside.server.attempts import TooManyAttemptsError
from bedside.server.console.people import PASSWORD_RULE
from bedside.server.console.render import ConsoleRoute, login_of, page, see
from bedside.server.gateway import gateway_of
from bedside.server.hashing import in_hashing_thread
from bedside.server.people import LONGEST_PASSWORD, PeopleError

router = APIRouter(route_class=ConsoleRoute, prefix="/console")

Text = Annotated[str, Form(max_length=LONGEST_PASSWORD)]


@router.get("/login")
def login_page(request: Request, next: str = "") -> Response:
    """The sign-in page."""
    return page(request, "login.html.j2", next=local_path(next), problem="", next_step="")


@router.post("/login", dependencies=[Depends(own_page)])
async def sign_in(request: Request, login: Text, password: Text, next: Annotated[str, Form(max_length=2000)] = "") -> Response:
    """Begin a session, and go on to where somebody wanted to be."""
    response, wait = see(local_path(next)), {}
    try:
        if await log_in(request, response, login, password) is not None:
            return response
        problem, next_step, status = "The login or the password is wrong", "Try again", 401
    except TooManyAttemptsError as error:
        problem, next_step, status = "Too many attempts failed", error.next_step, 429
        wait = {"Retry-After": str(error.wait)}
    refused = page(request, "login.html.j2", status=status, next=local_path(next), problem=problem, next_step=next_step)
    refused.headers.update(wait)
    return refused


@router.post("/logout", dependencies=[person("reception")])
async def sign_out(request: Request) -> Response:
    """End the session."""
    response = see(LOGIN)
    await log_out(request, response)
    return response


@router.get("/account", dependencies=[person("reception")])
def account(request: Request, changed: bool = False) -> Response:
    """One's own login."""
    return _account(request, changed=changed)


@router.post("/account", dependencies=[person("reception")])
async def change_password(request: Request, old: Text, new: Text, again: Text) -> Response:
    """Change one's own password, which ends all sessions of the login, and begin a new one."""
    login = login_of(request)
    people, address = gateway_of(request).people, request.client.host if request.client else ""
    response = see("/console/account?changed=true")
    try:
        if new != again:
            raise PeopleError("the new password was typed in two ways", "Type it twice alike")
        if await in_hashing_thread(people.check, login, old, address) is None:
            raise PeopleError("the password now is another", "Type the password that you signed in with")
        await in_hashing_thread(people.change_password, login, new, login)
        await log_in(request, response, login, new)
    except (PeopleError, TooManyAttemptsError) as error:
        return _account(request, problem=error)
    return response


def _account(request: Request, *, changed: bool = False, problem: BedsideError | None = None) -> Response:
    shown = {"problem": problem.problem if problem else "", "next_step": problem.next_step if problem else ""}
    return page(request, "account.html.j2", status=400 if problem else 200, changed=changed, rule=PASSWORD_RULE, **shown)
