"""Retention: what may no longer be kept is removed once a day, and how much of it stands in the audit log.

Rows of the database are removed by one gateway of those that share it, files by each gateway whose state folder they are in. A job is claimed
in the database before it runs; one whose gateway died meanwhile is taken over an hour later.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import logging
import platform
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from anyio import to_thread
from sqlalchemy import ColumnElement, Table, delete, or_, update

from bedside.errors import BedsideError
from bedside.server.database import Database, attempts, jobs, keys, rates, sessions
from bedside.server.settings import GatewaySettings
from bedside.workspace.audit import AuditLog
from bedside.workspace.database import seconds, utc_now

LOOK_SECONDS = 600.0
"""How often a gateway looks whether a job is due."""
_EVERY_SECONDS = 86_400
_HELD_SECONDS = 3600
_BY = "retention"
_log = logging.getLogger(__name__)

Clock = Callable[[], dt.datetime]


async def every_day(settings: GatewaySettings, store: Database, audit: AuditLog) -> None:
    """Run the jobs whenever they are due, until cancelled. A failure is logged, and tried again after an hour."""
    while True:
        try:
            await to_thread.run_sync(run_due, settings, store, audit)
        except (BedsideError, OSError) as error:
            _log.error("retention: %s", error)
        await asyncio.sleep(LOOK_SECONDS)


def run_due(settings: GatewaySettings, store: Database, audit: AuditLog, now: Clock = utc_now) -> dict[str, int]:
    """Run the jobs that are due and that no other gateway runs.

    Returns:
        What was removed, by kind; kinds of which nothing was too old are left out.

    Raises:
        BedsideError: the database or the audit log cannot be written; what was not removed is tried again after an hour.
    """
    place = f"{platform.node()}:{settings.state.resolve()}"
    of_files = f"files of {hashlib.sha256(place.encode()).hexdigest()[:16]}"
    return {
        **_run_if_due(store, "rows", now, partial(_remove_rows, settings, store, audit, now)),
        **_run_if_due(store, of_files, now, partial(_remove_files, settings, audit, now)),
    }


def _run_if_due(store: Database, job: str, now: Clock, work: Callable[[], dict[str, int]]) -> dict[str, int]:
    at = seconds(now())
    with store.writing() as connection:
        store.insert_new(connection, jobs, [{"name": job, "finished": 0, "held_until": 0}])
        due = (jobs.c.name == job) & (jobs.c.finished <= at - _EVERY_SECONDS) & (jobs.c.held_until <= at)
        claimed = connection.execute(update(jobs).where(due).values(held_until=at + _HELD_SECONDS)).rowcount
    if not claimed:
        return {}
    removed = work()
    with store.writing() as connection:
        connection.execute(update(jobs).where(jobs.c.name == job).values(finished=at, held_until=0))
    return removed


def _remove_rows(settings: GatewaySettings, store: Database, audit: AuditLog, now: Clock) -> dict[str, int]:
    kept = settings.retention
    logins, audited = _before(now, kept.logins_days), _before(now, kept.audit_days)
    old: tuple[tuple[str, Table, ColumnElement[bool], dt.datetime], ...] = (
        ("sessions", sessions, sessions.c.seen < seconds(logins), logins),
        ("failed attempts", attempts, attempts.c.last < seconds(logins), logins),
        ("keys", keys, or_(keys.c.revoked < seconds(audited), keys.c.expires < seconds(audited)), audited),
        ("request counts", rates, rates.c.minute < seconds(_before(now, 1)) // 60, _before(now, 1)),
    )
    removed = {}
    for kind, table, is_old, before in old:
        with store.writing() as connection:
            count = connection.execute(delete(table).where(is_old)).rowcount
            if count:
                removed[kind] = count
                audit.append("records.removed", by=_BY, kind=kind, count=count, before=before.date().isoformat())
    return removed


def _remove_files(settings: GatewaySettings, audit: AuditLog, now: Clock) -> dict[str, int]:
    kept, line = settings.retention, settings.phone.data
    removed = {"audit entries": audit.prune(kept.audit_days, _BY)}
    if line is not None:
        if (line / "audit" / "key").exists():
            removed["audit entries of the line"] = AuditLog(line / "audit", now).prune(kept.audit_days, _BY)
        for kind, days in (("transcripts", kept.calls_days), ("recordings", kept.recordings_days)):
            before = _before(now, days)
            removed[kind] = sum(1 for path in _older(line / kind, before) if _unlinked(path))
            if removed[kind]:
                audit.append("records.removed", by=_BY, kind=kind, count=removed[kind], before=before.date().isoformat())
    return {kind: count for kind, count in removed.items() if count}


def _older(folder: Path, before: dt.datetime) -> Iterator[Path]:
    """Files of a folder that were last written before a moment."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and not path.is_symlink() and path.stat().st_mtime < before.timestamp():
            yield path


def _unlinked(path: Path) -> bool:
    try:
        path.unlink()
    except OSError as error:
        _log.error("retention: %s could not be removed (%s)", path, error.strerror)
        return False
    return True


def _before(now: Clock, days: int) -> dt.datetime:
    return now() - dt.timedelta(days=days)
