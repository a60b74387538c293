"""The clinic's rows: one SQL database for the diary, patients, requests and messages. SQLite by default, PostgreSQL by URL.

Moments are whole seconds since 1970 (UTC), so that both databases can count with them; a day by the practice's wall is `YYYY-MM-DD`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    create_engine,
    event,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from bedside.errors import BedsideError

AnyRow = Row[*tuple[Any, ...]]

LOCK_SECONDS = 5
"""How long a writer waits for another before it gives up."""

METADATA = MetaData()

practitioners = Table(
    "practitioner",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("gender", String(10), nullable=False),
    Column("role", String(20), nullable=False),
    Column("languages", JSON, nullable=False),
    Column("active", Integer, nullable=False),
)
schedules = Table(
    "schedule",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("practitioner", ForeignKey("practitioner.id"), nullable=False),
    Column("active", Integer, nullable=False),
)
patients = Table(
    "patient",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("family", String(100), nullable=False),
    Column("given", String(200), nullable=False),
    Column("born", String(10), nullable=False, index=True),
    Column("gender", String(10)),
    Column("mobile", String(20)),
    Column("landline", String(20)),
    Column("street", String(200)),
    Column("suburb", String(100)),
    Column("state", String(3)),
    Column("postcode", String(4)),
    Column("medicare", String(11)),
    Column("sms", Integer, nullable=False),
    Column("active", Integer, nullable=False),
)
identity_failures = Table(
    "identity_failure",
    METADATA,
    Column("call", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
)
caller_failures = Table(
    "caller_failure",
    METADATA,
    Column("caller", String(40), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("since", BigInteger, nullable=False),
)
appointments = Table(
    "appointment",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("practitioner", ForeignKey("practitioner.id"), nullable=False),
    Column("patient", ForeignKey("patient.id"), index=True),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("type", String(40), nullable=False),
    Column("reason", Text),
    Column("call", String(64), nullable=False, index=True),
    Column("expires", BigInteger),
    Column("created", BigInteger, nullable=False),
    Column("cancelled_because", Text),
)
slots = Table(
    "slot",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("schedule", ForeignKey("schedule.id"), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("day", String(10), nullable=False),
    Column("minute", Integer, nullable=False),
    Column("status", String(20), nullable=False),
    Column("same_day", Integer, nullable=False),
    Column("appointment", ForeignKey("appointment.id"), index=True),
    Column("held_until", BigInteger),
    Index("slot_of_schedule", "schedule", "start", unique=True),
    Index("slot_by_start", "start"),
)
done = Table(
    "done",
    METADATA,
    Column("key", String(200), primary_key=True),
    Column("asked", String(400), nullable=False),
)
requests = Table(
    "request",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("key", String(200), nullable=False, unique=True),
    Column("kind", String(40), nullable=False),
    Column("priority", String(10), nullable=False),
    Column("owner", String(20), nullable=False),
    Column("status", String(20), nullable=False, index=True),
    Column("patient", ForeignKey("patient.id")),
    Column("caller", String(40), nullable=False),
    Column("call", String(64), nullable=False, index=True),
    Column("slots", JSON, nullable=False),
    Column("rules", JSON, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("updated_by", String(100)),
    Column("note", Text),
)
results = Table(
    "result",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("patient", ForeignKey("patient.id"), nullable=False, index=True),
    Column("test", String(200), nullable=False),
    Column("state", String(20), nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("updated_by", String(100), nullable=False),
)
messages = Table(
    "message",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("key", String(200), nullable=False, unique=True),
    Column("patient", ForeignKey("patient.id"), nullable=False),
    Column("text_id", String(60), nullable=False),
    Column("recipient", String(20), nullable=False),
    Column("body", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("sent", BigInteger),
    Column("provider_id", String(200)),
    Column("fault", Text),
    Index("message_waiting", "status", "due"),
)


class DatabaseError(BedsideError):
    """The database is locked, full, damaged or not there; nothing of the change that was asked for was kept."""


class Database:
    """A connection pool; safe to share between threads. Calls block: an event loop uses `asyncio.to_thread`.

    Args:
        url: a SQLAlchemy URL such as `postgresql+pg8000://user@host/bedside`, or the path of a SQLite file, which is made where it is not.

    Raises:
        DatabaseError: it cannot be opened, or its tables cannot be made.
    """

    def __init__(self, url: str | Path) -> None:
        try:
            self.url = make_url(f"sqlite:///{url}" if isinstance(url, Path) or "://" not in url else url)
            self.is_sqlite = self.url.get_backend_name() == "sqlite"
            if self.is_sqlite:
                self._make_private()
            self.engine = _sqlite_engine(str(self.url)) if self.is_sqlite else create_engine(self.url, pool_pre_ping=True, pool_size=10)
        except ArgumentError as error:
            problem = f"the database is given as {str(url).partition('://')[0][:100]!r}, which is no kind that is known"
            raise DatabaseError(problem, "Give a file or a URL such as postgresql+pg8000://user@host/name") from error
        with self.writing() as connection:
            METADATA.create_all(connection)

    def _make_private(self) -> None:
        """Only the user who runs the line may read its rows: SQLite's other files take over the mode of the first."""
        path = Path(self.url.database or "")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
        except OSError as error:
            raise DatabaseError(f"the database {str(path)!r} cannot be made ({error.strerror})", "Choose another place") from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of all rows.

        Raises:
            DatabaseError: the database cannot be read.
        """
        with self._explained(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction: kept whole at the end, dropped whole on any error.

        Args:
            durable: wait until it is on the disk. Without, SQLite still keeps it through a crash of the program, though not of the machine.

        Raises:
            DatabaseError: another program holds the database, the disk is full, or it cannot be written.
        """
        with self._explained(), self.engine.connect() as connection:
            connection.info["begin"] = "BEGIN IMMEDIATE"
            connection.info["synchronous"] = "FULL" if durable else "NORMAL"
            with connection.begin():
                yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._fault(error) from error

    def _fault(self, error: DBAPIError) -> DatabaseError:
        told = error.orig.args[0] if error.orig and error.orig.args else error.orig
        said = " ".join(str(told["M"] if isinstance(told, dict) else told).split())[:200]  # PostgreSQL tells in fields, M is the message
        where = f"the database {self.url.render_as_string(hide_password=True)!r}"
        if isinstance(error, IntegrityError):
            return DatabaseError(f"{where} has no such row to refer to, or has that key already ({said})", "Check the ids that were given")
        if "locked" in said:
            return DatabaseError(f"{where} has been held by another program for {LOCK_SECONDS} seconds", "End that program, or try again")
        if "full" in said or "No space" in said:
            return DatabaseError(f"the disk of {where} is full", "Free some space; nothing of this change was kept")
        if "not a database" in said or "malformed" in said:
            return DatabaseError(f"{where} is damaged ({said})", "Put the last backup in its place")
        return DatabaseError(f"{where} cannot be used ({said})", "Check that it runs and may be written")

    def insert_new(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows; one whose key is there already is left as it is."""
        dialect = sqlite if self.is_sqlite else postgresql
        if rows:
            connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS})

    @event.listens_for(engine, "connect")
    def settings(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not where the driver guesses
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at once: two readers that both turn into writers could not wait for each other.
        connection.exec_driver_sql(f"PRAGMA synchronous = {connection.info.pop('synchronous', 'NORMAL')}")
        connection.exec_driver_sql(connection.info.pop("begin", "BEGIN"))

    return engine


def seconds(moment: dt.datetime) -> int:
    """A moment with its zone as whole seconds since 1970."""
    return int(moment.timestamp())


def utc_now() -> dt.datetime:
    """The clock that everything here reads unless a test gives another."""
    return dt.datetime.now(dt.UTC)
