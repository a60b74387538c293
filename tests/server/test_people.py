"""People of the console: passwords, lock-out, roles."""

# ruff: noqa: F401, F811  fixtures are found by the names under which they are imported

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bedside.cli import app
from bedside.server.attempts import Attempts, Patience, TooManyAttemptsError
from bedside.server.database import Database
from bedside.server.people import People, PeopleError, Role
from bedside.workspace.audit import AuditLog
from fixtures_security import PASSWORD, Clock, audit, clock, db

HERE = "192.0.2.1"


@pytest.fixture
def people(db: Database, audit: AuditLog, clock: Clock) -> People:
    return People(db, audit, free=2, now=clock)


def test_a_login_by_password_however_it_is_typed_and_nothing_typed_is_kept(people: People, audit: AuditLog, tmp_path: Path) -> None:
    secret = "Z\u00fcrich four words rhyme"
    assert people.add("Jo", "clinician", secret).login == "jo"
    found = people.check(" JO ", "Zu\u0308rich four words rhyme", HERE)
    assert found is not None and found.role == Role.clinician
    assert people.check("typed my password here", secret, HERE) is None
    reasons = [(entry.data["by"].partition(":")[0], entry.data["ok"], entry.data["reason"]) for entry in audit.entries(kind="login")]
    assert reasons == [("jo", True, "password"), ("unknown", False, "unknown login")]
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"four words" not in kept and b"typed my password" not in kept


@pytest.mark.slow
@pytest.mark.parametrize("login", ["jo", "nobody"])
def test_wrong_passwords_make_a_login_wait_whether_it_exists_or_not(tmp_path: Path, audit: AuditLog, clock: Clock, login: str) -> None:
    people = People(Database(tmp_path / "gateway.sqlite"), audit, free=2, now=clock)
    people.add("jo", "admin", PASSWORD)
    waits = []
    for _ in range(2):
        assert people.check(login, "wrong", HERE) is None
    for _ in range(2):
        with pytest.raises(TooManyAttemptsError, match="too many attempts failed") as refused:
            people.check(login, PASSWORD, "192.0.2.99")
        waits.append(refused.value.wait)
        clock.tick(seconds=refused.value.wait)
        assert people.check(login, "wrong", HERE) is None
    assert waits == [1, 2]
    clock.tick(seconds=4)
    assert (people.check("jo", PASSWORD, HERE) is not None) and people.check("jo", "wrong", HERE) is None


def test_an_address_waits_after_many_logins_and_an_account_of_its_own_does_not_help(db: Database, clock: Clock) -> None:
    attempts, address = Attempts(db, clock), {"address": Patience(20, 900)}
    for number in range(20):
        attempts.begin({f"login{number}": Patience(5, 900), **address})
    with pytest.raises(TooManyAttemptsError):
        attempts.begin({"own": Patience(5, 900), **address})
    clock.tick(seconds=1)
    attempts.begin({"own": Patience(5, 900), **address})
    attempts.succeeded("own", "address")
    with pytest.raises(TooManyAttemptsError, match="2 s"):
        attempts.begin({"login99": Patience(5, 900), **address})
    assert attempts.wait("own") == 0


@pytest.mark.slow
def test_time_does_not_tell_whether_a_login_exists(tmp_path: Path, audit: AuditLog) -> None:
    people = People(Database(tmp_path / "gateway.sqlite"), audit, free=1000)
    people.add("jo", "reception", PASSWORD)
    took: dict[str, list[float]] = {"jo": [], "nobody": []}
    for _ in range(7):
        for login, times in took.items():
            start = time.perf_counter()
            people.check(login, "wrong", HERE)
            times.append(time.perf_counter() - start)
    known, unknown = (statistics.median(times) for times in took.values())
    assert abs(known - unknown) < 0.35 * max(known, unknown)


@pytest.mark.parametrize(
    ("login", "password", "problem"),
    [
        ("", PASSWORD, "is no login"),
        ("a\0b", PASSWORD, "is no login"),
        ("<b>jo</b>", PASSWORD, "is no login"),
        ("x" * 33, PASSWORD, "is no login"),
        ("jo", "fourteen chars", "has 14 characters"),
        ("jo", "x" * 257, "has 257 characters"),
        ("jo", "aaaaaaaaaaaaaaaaaa", "repeats a few characters"),
        ("wendy", "Wendy was here today", "holds the login"),
    ],
)
def test_weak_passwords_and_odd_logins_are_refused(people: People, login: str, password: str, problem: str) -> None:
    with pytest.raises(PeopleError, match=problem):
        people.add(login, "reception", password)
    assert not people.list()


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> People:
    folder = tmp_path_factory.mktemp("nobody")
    return People(Database(folder / "db.sqlite"), AuditLog(folder / "audit"))


@given(login=st.text(max_size=300))
def test_any_login_can_be_asked_for(nobody: People, login: str) -> None:
    with pytest.raises(PeopleError, match="there is no login"):
        nobody.disable(login)


@pytest.mark.slow
def test_roles_and_the_last_admin(people: People, audit: AuditLog) -> None:
    people.add("root", "admin", PASSWORD)
    for change in (lambda: people.disable("root"), lambda: people.change_role("root", "clinician")):
        with pytest.raises(PeopleError, match="'root' is the last admin"):
            change()
    people.add("jo", "reception", PASSWORD)
    people.change_role("jo", "admin")
    people.disable("root", by="jo")
    assert [(person.login, person.role, person.active) for person in people.list()] == [("jo", "admin", True), ("root", "admin", False)]
    assert people.check("root", PASSWORD, HERE) is None
    people.enable("root")
    with pytest.raises(PeopleError, match="no role 'owner'"):
        people.change_role("jo", "owner")
    changes = [(entry.data["by"], entry.data["person"], entry.data["change"]) for entry in audit.entries(kind="person.changed")]
    assert ("jo", "root", "person disabled") in changes and ("command line", "jo", "role changed to admin") in changes
    assert Role.admin.covers(Role.clinician) and Role.clinician.covers(Role.clinician) and not Role.reception.covers(Role.clinician)


def test_people_by_the_command_line(tmp_path: Path) -> None:
    gateway = tmp_path / "gateway.yaml"
    gateway.write_text("engines: [{name: m, kind: openai, url: 'http://127.0.0.1:9', model: m}]\n")
    at = ["--settings", str(gateway)]
    added = CliRunner().invoke(app, ["people", "add", "jo", "--role", "admin", *at], input=f"{PASSWORD}\n")
    assert added.exit_code == 0 and PASSWORD not in added.output and "jo may log in as admin" in added.stdout
    assert "admin" in CliRunner().invoke(app, ["people", "list", *at]).stdout
    with pytest.raises(PeopleError, match="last admin"):
        CliRunner().invoke(app, ["people", "disable", "jo", *at], catch_exceptions=False)
    with pytest.raises(PeopleError, match="has 5 characters"):
        CliRunner().invoke(app, ["people", "password", "jo", *at], input="short\n", catch_exceptions=False)
