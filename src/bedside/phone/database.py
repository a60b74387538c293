"""The clinic's rows: one SQL database for the diary, patients, requests and messages. SQLite by default, PostgreSQL by URL.

Moments are whole seconds since 1970 (UTC), so that both databases can count with them; a day by the practice's wall is `YYYY-MM-DD`.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

from bedside.workspace import database

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


class Database(database.Database):
    """A database with the clinic's tables.

    Args:
        url: as for `bedside.workspace.database.Database`.

    Raises:
        DatabaseError: it cannot be opened, or its tables cannot be made.
    """

    def __init__(self, url: str | Path) -> None:
        super().__init__(url, METADATA)
