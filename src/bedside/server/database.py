"""The gateway's rows: keys, people, their sessions, failed attempts, rate counters and jobs, in SQLite or in PostgreSQL.

They stand beside the phone line's tables, so that lines and gateways may share one database. Several gateways may use one PostgreSQL:
nothing that a gateway keeps to itself outlives five seconds. Moments are whole seconds since 1970 (UTC).
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Integer, MetaData, String, Table, Text

from bedside.workspace import database

METADATA = MetaData()

keys = Table(
    "api_key",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("name", String(64), nullable=False, index=True),
    Column("hash", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("rate_per_minute", Integer),
    Column("created", BigInteger, nullable=False),
    Column("created_by", String(100), nullable=False),
    Column("expires", BigInteger),
    Column("revoked", BigInteger),
    Column("used", BigInteger),
)
people = Table(
    "person",
    METADATA,
    Column("login", String(32), primary_key=True),
    Column("role", String(20), nullable=False),
    Column("hash", Text, nullable=False),
    Column("active", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
)
sessions = Table(
    "console_session",
    METADATA,
    Column("token_hash", String(64), primary_key=True),
    Column("login", ForeignKey("person.login"), nullable=False, index=True),
    Column("created", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
)
attempts = Table(
    "attempt",
    METADATA,
    Column("subject", String(100), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
)
rates = Table(
    "rate",
    METADATA,
    Column("subject", String(100), primary_key=True),
    Column("minute", BigInteger, primary_key=True),
    Column("count", Integer, nullable=False),
)
jobs = Table(
    "job",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("finished", BigInteger, nullable=False),
    Column("held_until", BigInteger, nullable=False),
)


class Database(database.Database):
    """A database with the gateway's tables.

    Args:
        url: as for `bedside.workspace.database.Database`.

    Raises:
        DatabaseError: it cannot be opened, or its tables cannot be made.
    """

    def __init__(self, url: str | Path) -> None:
        super().__init__(url, METADATA)
