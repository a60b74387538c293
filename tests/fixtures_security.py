"""A database, an audit log and a clock for the tests of keys, people, sessions and retention."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from bedside.server.database import METADATA, Database
from bedside.workspace.audit import AuditLog

PASSWORD = "four words that rhyme not"


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.at = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.at

    def tick(self, **passed: float) -> None:
        self.at += dt.timedelta(**passed)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def audit(tmp_path: Path, clock: Clock) -> AuditLog:
    return AuditLog(tmp_path / "audit", clock)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    opened = Database(tmp_path / "gateway.sqlite" if request.param == "sqlite" else request.getfixturevalue("postgres"))
    if not opened.is_sqlite:
        with opened.writing() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(METADATA.tables)} CASCADE"))
    yield opened
    opened.close()
