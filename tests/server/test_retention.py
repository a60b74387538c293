"""What is too old is removed once a day, by one gateway, and stands in the audit log."""

# ruff: noqa: F401, F811  fixtures are found by the names under which they are imported

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from bedside.server.database import Database, attempts, jobs, keys, people, rates, sessions
from bedside.server.retention import run_due
from bedside.server.settings import GatewaySettings
from bedside.workspace.audit import AuditLog
from bedside.workspace.database import DatabaseError, seconds
from fixtures_security import Clock, audit, clock, db

DAY = 86_400


@pytest.fixture
def rules(tmp_path: Path) -> GatewaySettings:
    given: dict[str, Any] = {
        "engines": [{"name": "m", "kind": "openai", "url": "http://127.0.0.1:9", "model": "m"}],
        "state": tmp_path / "state",
        "retention": {"audit_days": 100, "calls_days": 50, "recordings_days": 7, "logins_days": 30},
        "phone": {"data": tmp_path / "line"},
    }
    return GatewaySettings.model_validate(given)


@pytest.fixture
def filled(db: Database, clock: Clock) -> Database:
    """One old and one young row of each kind."""
    now = seconds(clock())
    key = {"name": "k", "hash": "", "scopes": ["chat"], "created": 0, "created_by": "test"}
    person = {"login": "jo", "role": "admin", "hash": "", "active": 1, "created": 0, "changed": 0}
    with db.writing() as connection:
        connection.execute(insert(people).values(person))
        for name, age in (("old", 101 * DAY), ("new", 5)):
            connection.execute(insert(sessions).values(token_hash=name, login="jo", created=now - age, seen=now - age))
            connection.execute(insert(attempts).values(subject=name, failures=1, last=now - age, until=0))
            connection.execute(insert(rates).values(subject=name, minute=(now - age) // 60, count=1))
            connection.execute(insert(keys).values(id=name, revoked=now - age, **key))
        connection.execute(insert(keys).values(id="working", **key))
    return db


def count(db: Database) -> dict[str, int]:
    with db.reading() as connection:
        return {table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in (sessions, attempts, rates, keys)}


def test_old_rows_go_and_young_ones_stay(filled: Database, audit: AuditLog, rules: GatewaySettings, clock: Clock) -> None:
    removed = run_due(rules, filled, audit, clock)
    assert removed == {"sessions": 1, "failed attempts": 1, "keys": 1, "request counts": 1}
    assert count(filled) == {"console_session": 1, "attempt": 1, "rate": 1, "api_key": 2}
    logged = {entry.data["kind"]: (entry.data["count"], entry.data["before"]) for entry in audit.entries(kind="records.removed")}
    assert logged["sessions"] == (1, "2026-10-24") and logged["keys"] == (1, "2026-08-15") and len(logged) == 4


def test_files_of_the_phone_line(db: Database, audit: AuditLog, rules: GatewaySettings, clock: Clock, tmp_path: Path) -> None:
    for folder, name, days in (
        ("transcripts", "old.json", 51),
        ("transcripts", "new.json", 49),
        ("recordings", "old.wav", 8),
        ("recordings", "new.wav", 6),
    ):
        path = tmp_path / "line" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        written = clock().timestamp() - days * DAY
        os.utime(path, (written, written))
    (tmp_path / "line" / "recordings" / "link.wav").symlink_to(tmp_path)
    assert run_due(rules, db, audit, clock) == {"transcripts": 1, "recordings": 1}
    assert sorted(path.name for path in (tmp_path / "line").rglob("*.*")) == ["link.wav", "new.json", "new.wav"]


def test_the_audit_logs_of_gateway_and_line_are_pruned_and_stay_whole(
    db: Database,
    audit: AuditLog,
    rules: GatewaySettings,
    clock: Clock,
    tmp_path: Path,
) -> None:
    line = AuditLog(tmp_path / "line" / "audit", clock)
    for log in (audit, line):
        log.append("login", by="jo", ok=True)
    clock.tick(days=102)
    for log in (audit, line):
        log.append("login", by="jo", ok=True)
    assert run_due(rules, db, audit, clock) == {"audit entries": 1, "audit entries of the line": 1}
    assert audit.verify().broken is None and line.verify().broken is None


def test_it_runs_once_a_day(filled: Database, audit: AuditLog, rules: GatewaySettings, clock: Clock) -> None:
    assert run_due(rules, filled, audit, clock)
    clock.tick(days=40)
    assert run_due(rules, filled, audit, clock) == {"sessions": 1, "failed attempts": 1, "request counts": 1}
    with filled.writing() as connection:
        connection.execute(insert(attempts).values(subject="x", failures=1, last=0, until=0))
    clock.tick(hours=23)
    assert run_due(rules, filled, audit, clock) == {}
    clock.tick(hours=1)
    assert run_due(rules, filled, audit, clock) == {"failed attempts": 1}


def test_one_of_several_gateways_does_it(filled: Database, audit: AuditLog, rules: GatewaySettings, clock: Clock) -> None:
    async def together() -> list[dict[str, int]]:
        return await asyncio.gather(*(asyncio.to_thread(run_due, rules, filled, audit, clock) for _ in range(5)))

    assert sum(bool(removed) for removed in asyncio.run(together())) == 1
    assert sum(entry.data["count"] for entry in audit.entries(kind="records.removed")) == 4


def test_a_job_whose_gateway_died_is_taken_over_after_an_hour(
    filled: Database,
    audit: AuditLog,
    rules: GatewaySettings,
    clock: Clock,
) -> None:
    held = {"name": "rows", "finished": 0, "held_until": seconds(clock()) + 3600}
    with filled.writing() as connection:
        connection.execute(insert(jobs).values(held))
    assert run_due(rules, filled, audit, clock) == {}
    clock.tick(hours=1)
    assert run_due(rules, filled, audit, clock)


def test_what_cannot_be_logged_is_not_removed(filled: Database, rules: GatewaySettings, clock: Clock, tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "gone", clock)
    (tmp_path / "gone").rename(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="audit log") as failed:
        run_due(rules, filled, log, clock)
    assert not isinstance(failed.value, DatabaseError)
    assert count(filled)["console_session"] == 2
