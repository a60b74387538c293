"""The example practice, a clock that stands still until it is moved, and databases: SQLite always, PostgreSQL where it is installed."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from bedside.phone.database import Database, patients
from bedside.phone.diary import SqlDiary
from bedside.phone.practice import Practice, read_practice

EXAMPLE = Path(__file__).parents[3] / "practices" / "wattle-street.yaml"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 22, 22, 0, tzinfo=dt.UTC)  # Monday 23 November, 9:00 in Sydney

    def __call__(self) -> dt.datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += dt.timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def practice() -> Practice:
    return read_practice(EXAMPLE)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "clinic.db")
    add_patients(opened)
    yield opened
    opened.close()


@pytest.fixture
def diary(database: Database, practice: Practice, clock: Clock) -> SqlDiary:
    made = SqlDiary(database, practice, clock)
    made.seed()
    return made


def add_patients(database: Database) -> None:
    """Two people, both invented."""
    rows = [
        {"id": name, "family": family, "given": given, "born": "1980-02-03", "sms": 1, "active": 1}
        for name, family, given in (("mary", "Example", "Mary"), ("jo", "Sample", "Jo"))
    ]
    with database.writing() as connection:
        connection.execute(insert(patients), rows)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the tests; skipped where there is none, or no user who may run it."""
    if not shutil.which("initdb") or not shutil.which("pg_ctl"):
        pytest.skip("PostgreSQL's initdb and pg_ctl are not on PATH")
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user and not shutil.which("runuser"):
        pytest.skip("PostgreSQL does not run as root, and there is no runuser")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(subprocess.run([*as_user, "mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    run = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    subprocess.run([*as_user, "initdb", "-D", f"{folder}/data", "-U", "bedside", "--auth=trust"], **run)  # type: ignore[call-overload]
    subprocess.run([*as_user, "pg_ctl", "-D", f"{folder}/data", "-w", "-o", options, "-l", f"{folder}/log", "start"], **run)  # type: ignore[call-overload]
    yield f"postgresql+pg8000://bedside@127.0.0.1:{port}/postgres"
    subprocess.run([*as_user, "pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop"], **run)  # type: ignore[call-overload]
    shutil.rmtree(folder)
