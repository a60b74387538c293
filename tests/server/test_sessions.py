"""Console sessions, their cookies and CSRF tokens, and where a login may lead."""

# ruff: noqa: F401, F811  fixtures are found by the names under which they are imported

from __future__ import annotations

import datetime as dt

import pytest
from fastapi import Request, Response
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from bedside.server.access import HOME, local_path, own_page
from bedside.server.database import Database, sessions
from bedside.server.people import People
from bedside.server.problems import ProblemError
from bedside.server.sessions import Lifetime, Sessions, clear_cookie, csrf_matches, csrf_token, set_cookie
from bedside.workspace.audit import AuditLog
from fixtures_security import PASSWORD, Clock, audit, clock, db


@pytest.fixture
def people(db: Database, audit: AuditLog, clock: Clock) -> People:
    made = People(db, audit, now=clock)
    made.add("root", "admin", PASSWORD)
    return made


@pytest.fixture
def open_sessions(people: People, db: Database, clock: Clock) -> Sessions:
    return Sessions(db, Lifetime(dt.timedelta(minutes=30), dt.timedelta(hours=10)), clock)


def test_a_session_ends_when_it_is_idle_and_in_any_case(open_sessions: Sessions, clock: Clock) -> None:
    token = open_sessions.start("root")
    for _ in range(23):
        clock.tick(minutes=25)
        assert (person := open_sessions.person(token)) is not None and person.login == "root"
    clock.tick(minutes=25)
    assert open_sessions.person(token) is None, "ten hours are over"
    idle = open_sessions.start("root")
    clock.tick(minutes=30)
    assert open_sessions.person(idle) is None


def test_a_session_ends_by_logging_out_and_its_token_is_kept_nowhere(open_sessions: Sessions, db: Database) -> None:
    token, other = open_sessions.start("root"), open_sessions.start("root")
    with db.reading() as connection:
        assert token not in str(connection.execute(select(sessions)).all())
    open_sessions.end(token)
    assert open_sessions.person(token) is None and open_sessions.person(other)


@pytest.mark.slow
def test_a_new_password_or_a_disabled_login_ends_all_sessions_and_a_role_changes_at_once(open_sessions: Sessions, people: People) -> None:
    people.add("jo", "reception", PASSWORD)
    token = open_sessions.start("jo")
    people.change_role("jo", "clinician")
    assert (person := open_sessions.person(token)) is not None and person.role == "clinician"
    people.change_password("jo", f"{PASSWORD} again")
    assert open_sessions.person(token) is None
    token = open_sessions.start("jo")
    people.disable("jo")
    people.enable("jo")
    assert open_sessions.person(token) is None


@pytest.fixture(scope="module")
def no_sessions(tmp_path_factory: pytest.TempPathFactory) -> Sessions:
    return Sessions(Database(tmp_path_factory.mktemp("none") / "none.sqlite"), Lifetime(dt.timedelta(1), dt.timedelta(1)))


@given(token=st.text(max_size=100))
def test_no_other_token_is_a_session(no_sessions: Sessions, token: str) -> None:
    assert no_sessions.person(token) is None


def request(scheme: str = "http", **headers: str) -> Request:
    listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "scheme": scheme, "method": "POST", "path": "/console", "headers": listed, "query_string": b""})


def test_cookies_are_for_this_host_alone_and_no_script() -> None:
    secure, local = Response(), Response()
    set_cookie(request("https"), secure, "token")
    set_cookie(request(), local, "token")
    assert secure.headers["set-cookie"] == "__Host-bedside=token; HttpOnly; Path=/; SameSite=strict; Secure"
    assert local.headers["set-cookie"] == "bedside=token; HttpOnly; Path=/; SameSite=strict"
    clear_cookie(request("https"), secure)
    assert "Max-Age=0" in secure.headers.getlist("set-cookie")[1] and "Secure" in secure.headers.getlist("set-cookie")[1]


def test_a_csrf_token_belongs_to_one_session() -> None:
    mine, other = request(cookie="bedside=one"), request(cookie="bedside=two")
    assert csrf_matches(mine, csrf_token(mine)) and not csrf_matches(other, csrf_token(mine))
    assert "one" not in csrf_token(mine)
    for wrong in ("", "x", "\ud800", csrf_token(mine)[:-1]):
        assert not csrf_matches(mine, wrong)
    assert csrf_token(request()) == "" and not csrf_matches(request(), "")


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site", "origin": "http://gateway.lan:8080"}, False),
        ({"origin": "http://gateway.lan:8080"}, True),
        ({"origin": "http://gateway.lan"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://["}, False),
        ({}, True),
    ],
)
def test_forms_of_other_sites_are_refused(headers: dict[str, str], own: bool) -> None:
    asked = request(host="gateway.lan:8080", **headers)
    if own:
        own_page(asked)
    else:
        with pytest.raises(ProblemError, match="another site"):
            own_page(asked)


@pytest.mark.parametrize("path", ["/console", "/console/calls", "/console/calls?day=2026-11-23", "/console?x=1"])
def test_a_login_leads_to_pages_of_the_console(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "/",
        "//evil.example",
        "https://evil.example",
        "/console//evil.example",
        "/\\evil.example",
        "/console/\\evil.example",
        "/consoles",
        "javascript:alert(1)",
        "/console/\r\nSet-Cookie: x=1",
        "/console/\u202e",
        "/console/\ud800",
        " /console/calls",
    ],
)
def test_and_nowhere_else(path: str | None) -> None:
    assert local_path(path) == HOME


@given(path=st.text(max_size=60) | st.text(max_size=60).map(lambda end: f"/console/{end}"))
def test_whatever_is_wanted_the_next_page_is_the_consoles_own(path: str) -> None:
    found = local_path(path)
    assert found.startswith("/console") and "//" not in found and "\\" not in found and found.isprintable() and found.isascii()
