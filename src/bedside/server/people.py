"""People who use the console: their logins, roles and passwords.

A password is a passphrase of at least 15 characters, as ISM-0421 of the Australian Signals Directorate and NIST SP 800-63B-4 §3.1.1.2 ask where
nothing else is asked for, with no rule about which characters; it is kept as an Argon2id hash. Whether a login exists cannot be told from
an answer, nor from the time that it takes.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, insert, select, update

from bedside.errors import BedsideError
from bedside.server.attempts import Attempts, Patience, TooManyAttemptsError, address_subject, login_subject
from bedside.server.database import Database, people, sessions
from bedside.server.hashing import NO_HASH, hashed, matches
from bedside.workspace.audit import AuditLog
from bedside.workspace.database import AnyRow, seconds, utc_now

SHORTEST_PASSWORD = 15
LONGEST_PASSWORD = 256
_FEWEST_LETTERS = 5
"""Different characters that a password has at least: fifteen times the same is none."""
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_ADDRESS_FREE = 20
"""Failures of one address that cost nothing: a whole practice may share one."""


class PeopleError(BedsideError):
    """A login or a password cannot be made, changed or found."""


class Role(StrEnum):
    """What somebody may do; each may do what those before it may."""

    reception = "reception"
    clinician = "clinician"
    admin = "admin"

    def covers(self, least: Role) -> bool:
        """Whether this role may do what asks for at least `least`."""
        order = tuple(Role)
        return order.index(self) >= order.index(least)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a login.

    Attributes:
        active: may log in.
        changed: when the password was last set.
    """

    login: str
    role: Role
    active: bool
    created: dt.datetime
    changed: dt.datetime


class People:
    """The people of a gateway, or of several that share a database. Calls block, and may come from any thread.

    Args:
        db: where they are kept.
        audit: where logins and changes are logged.
        free: wrong passwords in a row that cost nothing.
        longest: seconds of the longest wait after more of them.
        now: the clock.
    """

    def __init__(
        self, db: Database, audit: AuditLog, *, free: int = 5, longest: int = 900, now: Callable[[], dt.datetime] = utc_now
    ) -> None:
        self._db = db
        self._audit = audit
        self._now = now
        self._attempts = Attempts(db, now)
        self._of_login = Patience(free, longest)
        self._of_address = Patience(max(free, _ADDRESS_FREE), longest)

    def add(self, login: str, role: str, password: str, by: str = "command line") -> Person:
        """Add somebody.

        Raises:
            PeopleError: a login that is taken or no login, no role, or a password that is too weak.
        """
        name, role = _login(login), _role(role)
        if not _LOGIN.fullmatch(name):
            raise PeopleError(f"{login[:64]!r} is no login", "Use up to 32 small letters without accents, digits and . _ -")
        hash = hashed(_acceptable(password, name))
        now = self._now().replace(microsecond=0)
        with self._db.writing() as connection:
            if self._row(connection, name):
                raise PeopleError(f"there is a login {name!r} already", "Choose another, or set a new password for that one")
            at = seconds(now)
            connection.execute(insert(people).values(login=name, role=role, hash=hash, active=1, created=at, changed=at))
            self._log(by, name, "person added", role)
        return Person(name, role, True, now, now)

    def check(self, login: str, password: str, address: str) -> Person | None:
        """The person with this login and password, None where either is wrong or the login is disabled. Blocks for tens of milliseconds.

        Args:
            address: network address of who tries, in the audit log and for its own limit.

        Raises:
            TooManyAttemptsError: the login or the address has to wait; the password was not looked at.
        """
        name = _login(login)
        by_login, by_address = login_subject(name), address_subject(address)
        with self._db.reading() as connection:
            row = self._row(connection, name)
        fingerprint = self._audit.fingerprint(name)
        shown = name if row else f"unknown:{fingerprint}"
        try:
            self._attempts.begin({by_login: self._of_login, by_address: self._of_address})
        except TooManyAttemptsError:
            self._audit.append("login", by=shown, ok=False, reason="too many attempts", address=address[:64])
            raise
        right = matches(row.hash if row else NO_HASH, _normal(password))
        if row is None or not right or not row.active:
            reason = "unknown login" if row is None else "wrong password" if not right else "disabled"
            self._audit.append("login", by=shown, ok=False, reason=reason, address=address[:64])
            return None
        self._attempts.succeeded(by_login, by_address)
        self._audit.append("login", by=shown, ok=True, reason="password", address=address[:64])
        return person_of(row)

    def change_password(self, login: str, password: str, by: str = "command line") -> None:
        """Set a password; all sessions of that login end, and its failures are forgotten.

        Raises:
            PeopleError: no such login, or a password that is too weak.
        """
        name = _login(login)
        hash = hashed(_acceptable(password, name))
        with self._db.writing() as connection:
            role = self._known(connection, name).role
            connection.execute(update(people).where(people.c.login == name).values(hash=hash, changed=seconds(self._now())))
            connection.execute(delete(sessions).where(sessions.c.login == name))
            self._log(by, name, "password changed", role)
        self._attempts.succeeded(login_subject(name))

    def change_role(self, login: str, role: str, by: str = "command line") -> None:
        """Give somebody another role; it holds from their next request on.

        Raises:
            PeopleError: no such login or role, or the last admin would lose the role.
        """
        self._change(_login(login), f"role changed to {_role(role)}", by, role=role)

    def disable(self, login: str, by: str = "command line") -> None:
        """Let somebody in no more; their sessions end.

        Raises:
            PeopleError: no such login, or it is the last admin's.
        """
        self._change(_login(login), "person disabled", by, active=0)

    def enable(self, login: str, by: str = "command line") -> None:
        """Let somebody in again.

        Raises:
            PeopleError: no such login.
        """
        self._change(_login(login), "person enabled", by, active=1)

    def list(self) -> Sequence[Person]:
        """Everybody, by login."""
        with self._db.reading() as connection:
            return [person_of(row) for row in connection.execute(select(people).order_by(people.c.login))]

    def _change(self, name: str, change: str, by: str, **values: object) -> None:
        with self._db.writing() as connection:
            role = self._known(connection, name).role
            connection.execute(update(people).where(people.c.login == name).values(**values))
            admins = select(people.c.login).where(people.c.role == Role.admin, people.c.active == 1)
            if role == Role.admin and connection.execute(admins).first() is None:
                raise PeopleError(f"{name!r} is the last admin", "Give another person that role first")
            if values.get("active") == 0:
                connection.execute(delete(sessions).where(sessions.c.login == name))
            self._log(by, name, change, role)

    def _known(self, connection: Connection, name: str) -> AnyRow:
        row = self._row(connection, name)
        if row is None:
            raise PeopleError(f"there is no login {name[:64]!r}", "Look at `bedside people list`")
        return row

    def _row(self, connection: Connection, name: str) -> AnyRow | None:
        if not _LOGIN.fullmatch(name):  # PostgreSQL refuses to look for a NUL
            return None
        return connection.execute(select(people).where(people.c.login == name)).one_or_none()

    def _log(self, by: str, name: str, change: str, role: str) -> None:
        self._audit.append("person.changed", by=by, person=name, role=role, change=change)


def _login(typed: str) -> str:
    return unicodedata.normalize("NFKC", typed[:256].encode("utf-8", "replace").decode()).casefold().strip()


def _role(name: str) -> Role:
    if name not in set(Role):
        raise PeopleError(f"there is no role {name[:64]!r}", f"Give one of {', '.join(Role)}")
    return Role(name)


def _normal(password: str) -> str:
    """The password as every keyboard gives it (RFC 8265 §4.2); one that is too long is none."""
    return unicodedata.normalize("NFC", password) if len(password) <= LONGEST_PASSWORD else ""


def _acceptable(password: str, login: str) -> str:
    normal = _normal(password)
    if len(normal) < SHORTEST_PASSWORD:
        raise PeopleError(
            f"the password has {len(password)} characters",
            f"Use {SHORTEST_PASSWORD} to {LONGEST_PASSWORD}, such as four words that do not belong together",
        )
    if len(set(normal.casefold())) < _FEWEST_LETTERS or (len(login) > 3 and login in normal.casefold()):
        raise PeopleError("the password repeats a few characters or holds the login", "Use four words that do not belong together")
    return normal


def person_of(row: AnyRow) -> Person:
    """The person of a row of their table."""
    created, changed = (dt.datetime.fromtimestamp(at, dt.UTC) for at in (row.created, row.changed))
    return Person(row.login, Role(row.role), bool(row.active), created, changed)
