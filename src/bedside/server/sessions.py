"""Console sessions: kept in the database by the hash of a random token, which the browser has in a cookie.

A session begins with a new token at each login, so that none can be planted beforehand, and ends by logging out, after some time without a
request, after some hours in any case, and with a change of the password. The CSRF token is derived from the session's token (OWASP, Cross-Site
Request Forgery Prevention: HMAC-based token) and comes back with every form as the field `csrf`, or as the header `X-CSRF-Token`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Response
from sqlalchemy import delete, insert, select, update
from starlette.requests import HTTPConnection

from bedside.server.database import Database, people, sessions
from bedside.server.people import Person, person_of
from bedside.workspace.database import seconds, utc_now

_TOUCH_SECONDS = 60
"""How exact the time of a session's last request is."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long sessions last.

    Attributes:
        idle: without a request.
        whole: from the login on.
    """

    idle: dt.timedelta
    whole: dt.timedelta


class Sessions:
    """The sessions of a database. Calls block, and may come from any thread.

    Args:
        db: where they are kept.
        lifetime: how long they last.
        now: the clock.
    """

    def __init__(self, db: Database, lifetime: Lifetime, now: Callable[[], dt.datetime] = utc_now) -> None:
        self._db = db
        self._lifetime = lifetime
        self._now = now

    def start(self, login: str) -> str:
        """Begin a session; its token, which is kept nowhere else."""
        token, at = secrets.token_urlsafe(32), seconds(self._now())
        with self._db.writing() as connection:
            connection.execute(insert(sessions).values(token_hash=_hash(token), login=login, created=at, seen=at))
        return token

    def person(self, token: str) -> Person | None:
        """Whose session it is; None: there is none with this token, it has run out, or its person may not log in."""
        now = seconds(self._now())
        with self._db.reading() as connection:
            found = select(people, sessions.c.seen, sessions.c.created.label("began")).join_from(sessions, people)
            row = connection.execute(found.where(sessions.c.token_hash == _hash(token), people.c.active == 1)).one_or_none()
        if row is None or now >= row.seen + self._lifetime.idle.total_seconds() or now >= row.began + self._lifetime.whole.total_seconds():
            return None
        if now - row.seen >= _TOUCH_SECONDS:
            with self._db.writing(durable=False) as connection:
                connection.execute(update(sessions).where(sessions.c.token_hash == _hash(token)).values(seen=now))
        return person_of(row)

    def end(self, token: str) -> None:
        """End a session."""
        with self._db.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.token_hash == _hash(token)))


def cookie_name(request: HTTPConnection) -> str:
    """The session cookie's name: under TLS one that browsers keep to this host and to TLS (RFC 6265bis §4.1.3.2)."""
    return "__Host-bedside" if _is_secure(request) else "bedside"


def token_of(request: HTTPConnection) -> str | None:
    """The session token that the browser sent."""
    return request.cookies.get(cookie_name(request)) or None


def set_cookie(request: HTTPConnection, response: Response, token: str) -> None:
    """Give the browser a session's token: for this host alone, no script, no other site, and until the browser is closed."""
    response.set_cookie(cookie_name(request), token, path="/", secure=_is_secure(request), httponly=True, samesite="strict")


def clear_cookie(request: HTTPConnection, response: Response) -> None:
    """Take the token from the browser."""
    response.delete_cookie(cookie_name(request), path="/", secure=_is_secure(request), httponly=True, samesite="strict")


def csrf_token(request: HTTPConnection) -> str:
    """What a form of this session has to send back; empty where there is no session."""
    token = token_of(request)
    return "" if token is None else hmac.new(token.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256).hexdigest()


def csrf_matches(request: HTTPConnection, given: str) -> bool:
    """Whether a form came from a page of this session."""
    expected = csrf_token(request)
    return bool(expected) and hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogatepass"))


def _is_secure(request: HTTPConnection) -> bool:
    return request.scope["scheme"] in ("https", "wss")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
