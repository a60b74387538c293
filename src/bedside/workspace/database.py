"""A SQL database as the phone line and the gateway use it: SQLite in write-ahead mode by default, PostgreSQL by URL.

What tables there are says whoever opens it. Moments are whole seconds since 1970 (UTC), so that both databases can count with them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, Row, Table, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from bedside.errors import BedsideError

AnyRow = Row[*tuple[Any, ...]]

LOCK_SECONDS = 5
"""How long a writer waits for another before it gives up."""
_TABLES_LOCK = 0x62656473
"""`beds`: the advisory lock of PostgreSQL under which tables are made."""


class DatabaseError(BedsideError):
    """The database is locked, full, damaged or not there; nothing of the change that was asked for was kept."""


class Database:
    """A connection pool; safe to share between threads. Calls block: an event loop hands them to a thread.

    Args:
        url: a SQLAlchemy URL such as `postgresql+pg8000://user@host/bedside`, or the path of a SQLite file, which is made where it is not.
        metadata: tables, which are made where they are not; programs with different ones may share a database.

    Raises:
        DatabaseError: it cannot be opened, or its tables cannot be made.
    """

    def __init__(self, url: str | Path, metadata: MetaData) -> None:
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
            if not self.is_sqlite:
                # Of programs that start at once on an empty PostgreSQL one makes the tables and the others find them.
                connection.execute(select(func.pg_advisory_xact_lock(_TABLES_LOCK)))
            metadata.create_all(connection)

    def _make_private(self) -> None:
        """Only the user who runs the program may read its rows: SQLite's other files take over the mode of the first."""
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
        if rows:
            connection.execute(self.inserting(table).on_conflict_do_nothing(), list(rows))

    def inserting(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An insert that may go on with `on_conflict_do_update`, in the database's own dialect."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

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
