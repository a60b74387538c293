"""A consistent copy of the gateway's database while it is being written, and back: SQLite by its backup API, PostgreSQL by `pg_dump`."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from bedside.errors import BedsideError

_PACKAGE = "Type `apt install postgresql-client`; its version may not be older than the server's"


class BackupError(BedsideError):
    """A backup cannot be made, is not whole, or would overwrite something."""


def database_url(given: str) -> URL:
    """The URL of a database that is given as a URL or as the path of a SQLite file."""
    return make_url(given if "://" in given else f"sqlite:///{given}")


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite database; None: it is another kind."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def save_sqlite(file: Path, copy: Path) -> None:
    """Copy a SQLite database as it is at one moment; whoever writes to it goes on.

    Raises:
        BackupError: there is none, or it is damaged.
    """
    if not file.is_file():
        raise BackupError(f"there is no database {str(file)!r}", "Start the gateway once, or correct `state` or `database` in its settings")
    try:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    except sqlite3.Error as error:
        raise BackupError(
            f"the database {str(file)!r} cannot be copied ({error})", "Check it, and put the last backup in its place"
        ) from error
    check_sqlite(copy)


def check_sqlite(file: Path) -> None:
    """Read every page of a SQLite database.

    Raises:
        BackupError: it is damaged.
    """
    try:
        with closing(sqlite3.connect(file)) as connection:
            found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise BackupError(f"the database {file.name!r} is damaged ({found[:200]})", "Use an older backup")


def save_postgresql(url: URL, copy: Path) -> None:
    """Write a PostgreSQL database as it is at one moment in `pg_dump`'s own format.

    Raises:
        BackupError: it cannot be reached or read, or `pg_dump` is not installed or older than the server.
    """
    _run(["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={copy}"], url)


def load_postgresql(url: URL, copy: Path) -> None:
    """Fill an empty PostgreSQL database; all of it or nothing.

    Raises:
        BackupError: it cannot be reached, or holds tables of that name already.
    """
    _run(
        ["pg_restore", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", f"--dbname={url.database}", str(copy)],
        url,
    )


def _run(command: list[str], url: URL) -> None:
    """Run a program of PostgreSQL against a database; the password goes by the environment, where other users do not see it."""
    given = {"PGHOST": url.host, "PGPORT": url.port, "PGUSER": url.username, "PGPASSWORD": url.password, "PGDATABASE": url.database}
    environment = os.environ | {name: str(value) for name, value in given.items() if value is not None}
    try:
        subprocess.run([*command, "--no-password"], env=environment, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BackupError(f"{command[0]} is not installed", _PACKAGE) from error
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())[:300]
        where = url.render_as_string(hide_password=True)
        raise BackupError(
            f"{command[0]} cannot use {where} ({said})", "Check that it runs, may be used, and is empty before a restore"
        ) from error
