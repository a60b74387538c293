"""API keys: who may ask what, and how often.

A key reads `bedside_ID_SECRET`: the id finds its row and may be shown; the secret of 256 bits is shown once and kept as an Argon2id hash. A
key that was found good is remembered by its SHA-256 for some seconds; after that its row is read again, so that what another gateway or the
command line revoked is refused within five seconds.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, insert, select, update

from bedside.errors import BedsideError
from bedside.server.attempts import Attempts, Patience, RateLimits, TooManyAttemptsError, address_subject
from bedside.server.database import Database, keys
from bedside.server.hashing import hashed, matches
from bedside.workspace.audit import AuditLog
from bedside.workspace.database import AnyRow, seconds, utc_now

FRESH_SECONDS = 4.0
"""How long a key that was found good is believed without reading its row."""
OVERLAP = dt.timedelta(days=7)
"""How long the old secret of a rotated key goes on working."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}")
_SECRET = re.compile(r"bedside_([a-z0-9]{12})_[A-Za-z0-9_-]{43}")
_USED_SECONDS = 3600
"""How exact the time of a key's last use is: a write for each request would cost more than it tells."""
_MOST_PER_MINUTE = 1_000_000
_OF_ADDRESS = Patience(free=20, longest=300)


class KeysError(BedsideError):
    """A key cannot be made, changed or found."""


class Scope(StrEnum):
    """What a key may be used for; `admin` is for all of it."""

    chat = "chat"
    understand = "understand"
    triage = "triage"
    interactions = "interactions"
    deidentify = "deidentify"
    embeddings = "embeddings"
    answers = "answers"
    metrics = "metrics"
    admin = "admin"


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key without its secret.

    Attributes:
        id: what it is called in the audit log.
        name: what people call it; a key and the one that it was rotated into share it.
        rate_per_minute: requests in any 60 seconds; None: as many as the gateway can answer.
        expires: until when it works; None: until it is revoked.
        revoked: when it was.
        used: when it was last seen, to the hour.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    rate_per_minute: int | None
    created: dt.datetime
    created_by: str
    expires: dt.datetime | None = None
    revoked: dt.datetime | None = None
    used: dt.datetime | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether the key may be used for this."""
        return scope in self.scopes or Scope.admin in self.scopes

    def works(self, now: dt.datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True)
class _Known:
    info: KeyInfo
    hash: str
    fresh_until: float


class KeyStore:
    """The keys of a gateway, or of several that share a database. Calls block, and may come from any thread.

    Args:
        db: where they are kept.
        audit: where changes are logged.
        now: the clock.

    Attributes:
        rates: requests a minute of each key.
        guesses: failed keys of each address.
    """

    def __init__(self, db: Database, audit: AuditLog, now: Callable[[], dt.datetime] = utc_now) -> None:
        self._db = db
        self._audit = audit
        self._now = now
        self._known: dict[bytes, _Known] = {}
        self.rates = RateLimits(db)
        self.guesses = Attempts(db, now)

    def create(
        self, name: str, scopes: Collection[str], rate_per_minute: int | None, expires: dt.datetime | None, by: str
    ) -> tuple[KeyInfo, str]:
        """Make a key.

        Args:
            scopes: names of `Scope`.
            by: who does it, for the audit log.

        Returns:
            The key, and what its owner sends: it cannot be shown again.

        Raises:
            KeysError: a name that is taken or no name, no scopes or unknown ones, a rate below 1, or an end that is past.
        """
        now = self._now().replace(microsecond=0)
        info = KeyInfo(_new_id(), name, _scopes(scopes), rate_per_minute, now, by, expires)
        _check(info, now)
        with self._db.writing() as connection:
            if any(key.works(now) for key in _named(connection, name)):
                raise KeysError(f"there is a key {name!r} already", "Choose another name, or rotate or revoke that key")
            return self._insert(connection, info, "created", by)

    def rotate(self, which: str, by: str, overlap: dt.timedelta = OVERLAP) -> tuple[KeyInfo, str]:
        """Make the key's successor with a secret of its own; the old secret works for `overlap` more, so that programs can change over.

        Args:
            which: the key's id or name.

        Returns:
            The new key and its secret, which cannot be shown again.

        Raises:
            KeysError: no such key works now.
        """
        now = self._now().replace(microsecond=0)
        with self._db.writing() as connection:
            old = self._working(connection, which)[-1]
            until = now + overlap if old.expires is None else min(old.expires, now + overlap)
            connection.execute(update(keys).where(keys.c.id == old.id).values(expires=seconds(until)))
            lasts = None if old.expires is None else now + (old.expires - old.created)
            new = KeyInfo(_new_id(), old.name, old.scopes, old.rate_per_minute, now, by, lasts)
            return self._insert(connection, new, f"rotated from {old.id}", by)

    def revoke(self, which: str, by: str) -> int:
        """Stop a key for good: one by its id, or all of a name. Gateways refuse it within five seconds.

        Returns:
            How many were stopped.

        Raises:
            KeysError: no such key works now.
        """
        with self._db.writing() as connection:
            found = self._working(connection, which)
            for key in found:
                connection.execute(update(keys).where(keys.c.id == key.id).values(revoked=seconds(self._now())))
                self._audit.append("key.changed", by=by, key=key.id, change="revoked", scopes=sorted(key.scopes))
        self._known.clear()
        return len(found)

    def list(self) -> Sequence[KeyInfo]:
        """All keys, those that no longer work too, oldest first."""
        with self._db.reading() as connection:
            return [_info(row) for row in connection.execute(select(keys).order_by(keys.c.created, keys.c.id))]

    def remembered(self, secret: str) -> KeyInfo | None:
        """The key if it was found good in the last seconds; never blocks. None: ask `check`."""
        known = self._known.get(_digest(secret))
        fresh = known is not None and time.monotonic() < known.fresh_until and known.info.works(self._now())
        return known.info if known and fresh else None

    def check(self, secret: str) -> KeyInfo | None:
        """The key that this secret belongs to, None where there is none that works. Blocks for tens of milliseconds on a new secret."""
        found = self.remembered(secret)
        shape = _SECRET.fullmatch(secret)
        if found is not None or shape is None:
            return found
        digest, read = _digest(secret), time.monotonic()
        with self._db.reading() as connection:
            row = connection.execute(select(keys).where(keys.c.id == shape[1])).one_or_none()
        known = self._known.pop(digest, None)
        if row is None or not _info(row).works(self._now()):
            return None
        if (known is None or known.hash != row.hash) and not matches(row.hash, secret):
            return None
        info = _info(row)
        self._known[digest] = _Known(info, row.hash, read + FRESH_SECONDS)
        self._note_use(info)
        return info

    def guess(self, secret: str, address: str) -> KeyInfo | None:
        """`check` for a secret that came from a network address: wrong ones make the address wait, longer and longer.

        Raises:
            TooManyAttemptsError: the address has to wait; the secret was not looked at.
        """
        subject = f"key-{address_subject(address)}"
        # A key that was good a moment ago is no guess, and has not to wait for another program on the same machine that guesses.
        wait = 0 if _digest(secret) in self._known else self.guesses.wait(subject)
        if wait:
            raise TooManyAttemptsError(wait)
        info = self.check(secret)
        if info is None:
            self.guesses.begin({subject: _OF_ADDRESS})
            self._audit.append("login", by="key", ok=False, reason="no such key", address=address[:64])
        return info

    def _note_use(self, info: KeyInfo) -> None:
        now = self._now()
        if info.used is None or (now - info.used).total_seconds() >= _USED_SECONDS:
            with self._db.writing(durable=False) as connection:
                connection.execute(update(keys).where(keys.c.id == info.id).values(used=seconds(now)))

    def _working(self, connection: Connection, which: str) -> Sequence[KeyInfo]:
        found: Sequence[KeyInfo] = ()
        if _NAME.fullmatch(which):  # an id is spelt like a name; PostgreSQL refuses to look for a NUL
            of_id = [_info(row) for row in connection.execute(select(keys).where(keys.c.id == which))]
            found = [key for key in of_id or _named(connection, which) if key.works(self._now())]
        if not found:
            raise KeysError(f"no key {which[:64]!r} works now", "Look at `bedside keys list` for its id or name")
        return found

    def _insert(self, connection: Connection, info: KeyInfo, change: str, by: str) -> tuple[KeyInfo, str]:
        secret = f"bedside_{info.id}_{secrets.token_urlsafe(32)}"
        connection.execute(
            insert(keys).values(
                id=info.id,
                name=info.name,
                hash=hashed(secret),
                scopes=sorted(info.scopes),
                rate_per_minute=info.rate_per_minute,
                created=seconds(info.created),
                created_by=info.created_by,
                expires=seconds(info.expires) if info.expires else None,
            )
        )
        self._audit.append("key.changed", by=by, key=info.id, change=change, scopes=sorted(info.scopes))
        return info, secret


def _check(info: KeyInfo, now: dt.datetime) -> None:
    if not _NAME.fullmatch(info.name):
        raise KeysError(f"{info.name[:64]!r} is no name for a key", "Use up to 64 letters without accents, digits, spaces and . _ @ -")
    if info.rate_per_minute is not None and not 1 <= info.rate_per_minute <= _MOST_PER_MINUTE:
        raise KeysError(f"{info.rate_per_minute} requests a minute is no rate", f"Give 1 to {_MOST_PER_MINUTE:,}, or none for no limit")
    if info.expires is not None and info.expires <= now:
        raise KeysError(f"the key {info.name!r} would expire at {info.expires:%Y-%m-%d %H:%M}, which is past", "Give a later end")


def _scopes(names: Collection[str]) -> frozenset[Scope]:
    unknown = sorted(set(names) - set(Scope))
    if unknown or not names:
        found = f"there is no scope {unknown[0][:64]!r}" if unknown else "the key has no scopes"
        raise KeysError(found, f"Give some of {', '.join(Scope)}")
    return frozenset(map(Scope, names))


def _named(connection: Connection, name: str) -> list[KeyInfo]:
    return [_info(row) for row in connection.execute(select(keys).where(keys.c.name == name).order_by(keys.c.created, keys.c.id))]


def _new_id() -> str:
    return secrets.token_hex(6)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _info(row: AnyRow) -> KeyInfo:
    return KeyInfo(
        row.id,
        row.name,
        frozenset(map(Scope, row.scopes)),
        row.rate_per_minute,
        _moment(row.created),
        row.created_by,
        _moment(row.expires) if row.expires is not None else None,
        _moment(row.revoked) if row.revoked is not None else None,
        _moment(row.used) if row.used is not None else None,
    )


def _moment(at: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at, dt.UTC)
