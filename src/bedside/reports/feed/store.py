"""The durable queue of a feed: every message that was taken, what became of it, and every report in its latest version.

One SQLite file in write-ahead mode. `put` returns after the disk has the messages; only then may a sender be told. A message is the same
as an earlier one where sender, control id and content agree, so that a sender may repeat it as often as it likes.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Literal

from bedside.errors import WorkspaceError
from bedside.reports.model import DiagnosticReport
from bedside.reports.readers.superseding import same_report

State = Literal["waiting", "done", "refused"]

_LOCK_SECONDS = 30
_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY,
    sender TEXT NOT NULL,
    control TEXT NOT NULL,
    digest TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB,
    received TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    tries INTEGER NOT NULL DEFAULT 0,
    copies INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    UNIQUE (sender, control, digest)
);
CREATE INDEX IF NOT EXISTS message_by_state ON message (state, id);
CREATE TABLE IF NOT EXISTS filing (id INTEGER PRIMARY KEY, result TEXT NOT NULL, changed TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS report (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    filing INTEGER NOT NULL REFERENCES filing (id),
    content TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS report_by_key ON report (key);
CREATE INDEX IF NOT EXISTS report_by_filing ON report (filing);
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came.

    Attributes:
        sender: the facility that sent it.
        control: the sender's id of the message (MSH-10), or the name of a file.
        digest: SHA-256 of its content, in hex.
        name: what its result is called, a plain file name.
        body: the message; None where it lies in a file of its own.
    """

    sender: str
    control: str
    digest: str
    name: str
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is on record of an arrival: its row, whether it was there before, and what became of it."""

    id: int
    is_copy: bool
    state: State


@dataclass(frozen=True, slots=True)
class Message:
    """A message that waits; `tries` counts how often it was begun, this time included."""

    id: int
    sender: str
    control: str
    name: str
    body: bytes | None
    received: str
    tries: int


@dataclass(slots=True)
class Version:
    """A report in its latest version; `id` is None until it is kept."""

    report: DiagnosticReport
    key: str
    id: int | None = None


@dataclass(slots=True)
class Filing:
    """Reports of one person that came together and are read together.

    Attributes:
        versions: its reports.
        id: None until it is kept.
        result: name of the result that holds its current assessment.
        keep: whether later versions can be merged with it; not where it holds recordings.
    """

    versions: list[Version]
    id: int | None = None
    result: str = ""
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Counts:
    """Messages by what became of them; `copies` came again, `reused` share sender and control id with another content."""

    waiting: int
    done: int
    refused: int
    copies: int
    reused: int

    def __str__(self) -> str:
        again = f"{self.copies:,} came again" + (f", {self.reused:,} under a control id that was used before" if self.reused else "")
        return f"{self.done:,} noted, {self.waiting:,} waiting, {self.refused:,} refused, {again}"


class Store:
    """The queue in a file.

    Args:
        path: of the SQLite file; made where there is none.
        durable: whether a commit waits for the disk; a worker, whose work can be done again, need not.

    Raises:
        WorkspaceError: the file cannot be opened or is no queue.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._path = path
        with self._faults():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Commits of the listener run in threads, one at a time.
            self._base = sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._base.executescript(_SCHEMA)
            path.chmod(0o600)

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def put(self, arrivals: Sequence[Arrival]) -> list[Receipt]:
        """Keep messages, all in one commit; a copy of one that is there is only counted.

        Raises:
            WorkspaceError: the disk is full or cannot be written; none of them is kept.
        """
        now = _now()
        with self._writing():
            return [self._put(arrival, now) for arrival in arrivals]

    def _put(self, one: Arrival, now: str) -> Receipt:
        added = self._base.execute(
            "INSERT INTO message (sender, control, digest, name, body, received) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (one.sender, one.control, one.digest, one.name, one.body, now),
        )
        if added.rowcount:
            return Receipt(int(added.lastrowid or 0), False, "waiting")
        where = (one.sender, one.control, one.digest)
        self._base.execute("UPDATE message SET copies = copies + 1 WHERE sender = ? AND control = ? AND digest = ?", where)
        row = self._base.execute("SELECT id, state FROM message WHERE sender = ? AND control = ? AND digest = ?", where).fetchone()
        return Receipt(row[0], True, row[1])

    def take(self, limit: int = 50) -> list[Message]:
        """The next messages that wait, oldest first; for one worker at a time. One that was begun before comes alone: it may be what ended that."""
        with self._faults():
            rows = self._base.execute(
                "SELECT id, sender, control, name, body, received, tries + 1 FROM message WHERE state = 'waiting' ORDER BY id LIMIT ?",
                (limit,),
            ).fetchall()
        messages = [Message(*row) for row in rows]
        taken = messages[:1] if messages and messages[0].tries > 1 else list(takewhile(lambda one: one.tries == 1, messages))
        if taken:
            with self._writing():
                self._base.executemany("UPDATE message SET tries = tries + 1 WHERE id = ?", [(one.id,) for one in taken])
        return taken

    def begin(self, row: int) -> Message:
        """One message, whatever became of it before, to be noted now."""
        with self._writing():
            self._base.execute("UPDATE message SET tries = tries + 1, state = 'waiting', reason = '' WHERE id = ?", (row,))
            found = self._base.execute(
                "SELECT id, sender, control, name, body, received, tries FROM message WHERE id = ?", (row,)
            ).fetchone()
        return Message(*found)

    def earlier(self, sender: str, report: DiagnosticReport) -> tuple[Version, Filing] | None:
        """An earlier version of a report from the same sender, with the reports that it is read with; None where there is none."""
        key = report_key(sender, report)
        with self._faults():
            for row, filing, content in self._base.execute("SELECT id, filing, content FROM report WHERE key = ? ORDER BY id DESC", (key,)):
                kept = DiagnosticReport.model_validate_json(content)
                if same_report(kept, report):
                    return Version(kept, key, row), self._filing(filing)
        return None

    def _filing(self, row: int) -> Filing:
        (result,) = self._base.execute("SELECT result FROM filing WHERE id = ?", (row,)).fetchone()
        rows = self._base.execute("SELECT content, key, id FROM report WHERE filing = ? ORDER BY id", (row,)).fetchall()
        return Filing([Version(DiagnosticReport.model_validate_json(content), key, own) for content, key, own in rows], row, result)

    def finish(self, noted: Sequence[tuple[Message, Sequence[Filing]]]) -> None:
        """Mark messages as noted and keep the reports of each, all in one commit."""
        with self._writing():
            for message, filings in noted:
                for filing in filings:
                    if filing.keep:
                        self._keep(filing)
                self._base.execute("UPDATE message SET state = 'done', reason = '' WHERE id = ?", (message.id,))

    def _keep(self, filing: Filing) -> None:
        values = (filing.id, filing.result, _now())
        row = self._base.execute("INSERT OR REPLACE INTO filing (id, result, changed) VALUES (?, ?, ?)", values).lastrowid
        for version in filing.versions:
            content = version.report.model_dump_json()
            self._base.execute(
                "INSERT OR REPLACE INTO report (id, key, filing, content) VALUES (?, ?, ?, ?)", (version.id, version.key, row, content)
            )

    def refuse(self, message: Message, reason: str) -> None:
        """Mark a message as one that could not be noted."""
        with self._writing():
            self._base.execute("UPDATE message SET state = 'refused', reason = ? WHERE id = ?", (reason, message.id))

    def refused(self) -> list[tuple[str, str]]:
        """Name and reason of every message that was refused, oldest first."""
        with self._faults():
            return self._base.execute("SELECT name, reason FROM message WHERE state = 'refused' ORDER BY id").fetchall()

    def retry(self) -> int:
        """Let refused messages whose content is kept wait again; returns how many."""
        with self._writing():
            changed = self._base.execute(
                "UPDATE message SET state = 'waiting', tries = 0, reason = '' WHERE state = 'refused' AND body IS NOT NULL"
            )
            return changed.rowcount

    def counts(self) -> Counts:
        """How many messages there are of each sort."""
        with self._faults():
            states = dict(self._base.execute("SELECT state, count(*) FROM message GROUP BY state").fetchall())
            (copies,) = self._base.execute("SELECT coalesce(sum(copies), 0) FROM message").fetchone()
            (reused,) = self._base.execute(
                "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM message GROUP BY sender, control)"
            ).fetchone()
        return Counts(states.get("waiting", 0), states.get("done", 0), states.get("refused", 0), copies, reused)

    def prune(self, keep_days: int) -> int:
        """Remove the content of messages that were noted, and reports that did not change, for so many days; returns how many messages.

        What tells a copy from a new message stays.
        """
        before = (datetime.now(UTC) - timedelta(days=keep_days)).isoformat()
        with self._writing():
            old = "SELECT id FROM filing WHERE changed < ?"
            self._base.execute(f"DELETE FROM report WHERE filing IN ({old})", (before,))
            self._base.execute("DELETE FROM filing WHERE changed < ?", (before,))
            emptied = "UPDATE message SET body = NULL WHERE state = 'done' AND body IS NOT NULL AND received < ?"
            return self._base.execute(emptied, (before,)).rowcount

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._faults():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise WorkspaceError(
                f"the queue {str(self._path)!r} cannot be used ({error})",
                "Free some space, check its permissions, or restore it from a backup",
            ) from error


def report_key(sender: str, report: DiagnosticReport) -> str:
    """What versions of one report have in common, hashed; "" for a report without an id, which has no other version."""
    if not report.id:
        return ""
    return hashlib.sha256("\0".join((sender, report.id, report.title)).encode()).hexdigest()


def result_name(sender: str, control: str, digest: str) -> str:
    """A plain file name for a message's result, another for every message."""
    said = re.sub(r"[^A-Za-z0-9_.-]", "_", control)[:60].lstrip(".") or "message"
    return f"{said}-{hashlib.sha256(f'{sender}|{control}|{digest}'.encode()).hexdigest()[:10]}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
