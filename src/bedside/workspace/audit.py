"""The audit log: what the line and the gateway did, in the order in which they did it, and nothing of what was said.

A folder with one JSON Lines file a day (UTC). Every entry carries the hash of the one before it, so that no entry can be changed, left
out, moved or put in between without breaking the chain; the file of a finished day is sealed by a line in `seals.jsonl` with its last hash
and its size. An entry is acknowledged when it is on the disk (fsync), whatever happens to the program afterwards.

    2026-11-22.jsonl   {"seq": 1, "at": "…", "kind": "call.started", "data": {…}, "prev": "0…0", "hash": "…"}
    seals.jsonl        {"day": "2026-11-22", "entries": 812, "first": 1, "last": 812, "root": "…", "bytes": 90112}
    key                secret of `fingerprint`, readable for its owner only

    hash = sha256(prev ‖ JSON of the entry without `hash`, keys sorted, no spaces)

Whoever can write the folder can cut off its end or write it anew: `head` is what is to be kept somewhere else each day to notice that.
What may stand in an entry is in `audit_events.yaml`: a kind or a field that is not there is refused, so that no transcript, name or number
gets in by mistake.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bedside.errors import WorkspaceError

GENESIS = "0" * 64
_LONGEST_ENTRY = 16_384
_LONGEST_VALUE = 200
_MOST_VALUES = 200


class AuditError(WorkspaceError):
    """An event may not be, or could not be, logged; or the log is not whole."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done."""

    seq: int
    at: dt.datetime
    kind: str
    data: dict[str, Any]
    prev: str
    hash: str


class Head(NamedTuple):
    """The last entry's number and hash."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of the whole log found.

    Attributes:
        entries: entries that are whole and in order.
        head: the last of them.
        broken: the first that is not, with its file and line and what is wrong; None: all are whole.
        unfinished: bytes at the end of the log that no entry was acknowledged for, left by a program that was killed while writing.
    """

    entries: int
    head: Head
    broken: str | None = None
    unfinished: int = 0


@dataclass(slots=True)
class Noted:
    """An event that was handed to `AuditLog.note`; `entry` or `fault` stands once it was written, or could not be."""

    kind: str
    data: dict[str, Any]
    entry: Entry | None = None
    fault: AuditError | None = None

    @property
    def is_over(self) -> bool:
        """Whether it was written, or could not be."""
        return self.entry is not None or self.fault is not None

    def written(self) -> Entry:
        """Its entry.

        Raises:
            AuditError: it could not be written.
        """
        if self.fault is not None:
            raise self.fault
        assert self.entry is not None
        return self.entry


@dataclass(slots=True)
class _Tail:
    """Where the log ended when this process last looked; `changed` is when the folder got its newest file."""

    file: str = ""
    size: int = 0
    changed: int = 0
    head: Head = field(default=Head(0, GENESIS))


@cache
def events() -> dict[str, frozenset[str]]:
    """The kinds of events and the fields that each may have."""
    content = yaml.safe_load(files("bedside.workspace").joinpath("audit_events.yaml").read_text(encoding="utf-8"))
    return {kind: frozenset(fields) for kind, fields in content["events"].items()}


class AuditLog:
    """An audit log. Safe to share between threads, and between processes that open the same folder.

    Args:
        folder: where it is; made where it is not.
        now: the clock.

    Raises:
        AuditError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)) -> None:
        self._folder = folder
        self._now = now
        self._queue: list[Noted] = []
        self._queue_lock = threading.Lock()
        self._writer = threading.Lock()
        self._tail = _Tail()
        self._cut = 0
        with self._explained():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._alone():
                if not (folder / "key").exists():
                    _write_secret(folder / "key")

    def append(self, kind: str, /, **data: Any) -> Entry:
        """Log an event; when this returns, it is on the disk. Blocks for one fsync, which events that come meanwhile share.

        Raises:
            AuditError: a kind or a field that is not in `audit_events.yaml`, a value that is no short text, number or list of them, or a
                disk that is full. Nothing of the event is kept then.
        """
        noted = self.note(kind, **data)
        self.write(noted)
        return noted.written()

    def note(self, kind: str, /, **data: Any) -> Noted:
        """Take an event for the next `write`; never blocks. It is nothing that was logged until then.

        Raises:
            AuditError: as `append`, where the event is at fault.
        """
        _check(kind, data)
        noted = Noted(kind, data)
        with self._queue_lock:
            self._queue.append(noted)
        return noted

    def write(self, noted: Noted) -> None:
        """Write all events that were noted, unless `noted` is over by now. Blocks for one fsync, whatever their number."""
        with self._writer:
            if not noted.is_over:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                self._write(batch)

    def fingerprint(self, value: str) -> str:
        """A keyed hash (HMAC-SHA-256, 16 hex digits) that tells whether two values are equal and nothing else about them."""
        return hmac.new(self._key, value.encode(), hashlib.sha256).hexdigest()[:16]

    def head(self) -> Head:
        """The last entry's number and hash, to be kept in another place."""
        with self._writer, self._explained(), self._alone():
            return self._current().head

    def entries(self, *, since: dt.date | None = None, until: dt.date | None = None, **wanted: str) -> Iterator[Entry]:
        """Entries in order.

        Args:
            since, until: days (UTC), both included.
            wanted: `kind`, or fields of `data`, such as `call="…"`, with the value that they have.

        Raises:
            AuditError: an entry cannot be read.
        """
        for path in self._days():
            if (since is None or path.stem >= since.isoformat()) and (until is None or path.stem <= until.isoformat()):
                for number, line in _lines(path, path.stat().st_size):
                    entry = _parse(line, f"{path.name} line {number}")
                    if all(entry.kind == value if name == "kind" else str(entry.data.get(name)) == value for name, value in wanted.items()):
                        yield entry

    def read(self, by: str, /, **query: Any) -> Iterator[Entry]:
        """`entries`, for a person: that they looked is logged first."""
        self.append("audit.read", by=by, query=" ".join(f"{name}={value}" for name, value in sorted(query.items()))[:_LONGEST_VALUE])
        return self.entries(**query)

    def verify(self, kept: Head | None = None) -> Verified:
        """Check every entry, the chain, and the seals.

        Args:
            kept: a head that was noted somewhere else; its entry has to be there with that hash.
        """
        with self._writer, self._explained(), self._alone():
            sizes = [(path, path.stat().st_size) for path in self._days()]
        return _verify(sizes, self._seals(), kept)

    def prune(self, keep_days: int, by: str) -> int:
        """Remove the files of days that ended more than `keep_days` ago; their seals stay, so that the chain can still be followed.

        Returns:
            Entries removed; that they were is logged.
        """
        first = (self._now() - dt.timedelta(days=keep_days)).date().isoformat()
        sealed = {seal["day"]: seal for seal in self._seals()}
        old = [path for path in self._days() if path.stem < first and path.stem in sealed]
        removed = sum(int(sealed[path.stem]["entries"]) for path in old)
        if old:
            self.append("audit.pruned", by=by, before=first, entries=removed)
            with self._explained():
                for path in old:
                    path.unlink()
        return removed

    def _write(self, batch: list[Noted]) -> None:
        """One write and one fsync for a batch; all of its events or none."""
        try:
            with self._explained(), self._alone():
                tail = self._current()
                repair = [Noted("audit.repaired", {"bytes": self._cut})] if self._cut else []
                made = self._chained([*repair, *batch], tail.head)
                path = self._file_of_today(tail)
                _append(path, b"".join(line for _, line in made))
                self._cut = 0
                self._tail = _Tail(path.name, path.stat().st_size, self._changed(), Head(made[-1][0].seq, made[-1][0].hash))
                for noted, (entry, _) in zip(batch, made[len(repair) :], strict=True):
                    noted.entry = entry
        except AuditError as error:
            for noted in batch:
                noted.fault = error

    def _chained(self, batch: Iterable[Noted], head: Head) -> list[tuple[Entry, bytes]]:
        made = []
        for noted in batch:
            at = self._now()
            plain = {"seq": head.seq + 1, "at": at.isoformat(), "kind": noted.kind, "data": noted.data, "prev": head.hash}
            digest = _digest(plain)
            entry = Entry(head.seq + 1, at, noted.kind, noted.data, head.hash, digest)
            made.append((entry, _canonical({**plain, "hash": digest}) + b"\n"))
            head = Head(entry.seq, digest)
        return made

    def _file_of_today(self, tail: _Tail) -> Path:
        """Today's file; the day before is sealed when its successor begins. A clock that runs back stays in the newest file."""
        today = f"{self._now().astimezone(dt.UTC).date().isoformat()}.jsonl"
        if tail.file and tail.file < today:
            self._seal(self._folder / tail.file, tail.head)
        return self._folder / max(today, tail.file)

    def _seal(self, path: Path, head: Head) -> None:
        if any(seal["day"] == path.stem for seal in self._seals()):
            return
        first = _parse(next(_lines(path, path.stat().st_size))[1], path.name).seq
        seal = {"day": path.stem, "entries": head.seq - first + 1, "first": first, "last": head.seq, "root": head.hash}
        _append(self._folder / "seals.jsonl", _canonical({**seal, "bytes": path.stat().st_size}) + b"\n")

    def _current(self) -> _Tail:
        """Where the log ends now; another process may have written since. A torn last line, of which nobody was told that it is
        kept, is cut off, and the next entry says so."""
        changed = self._changed()
        if self._tail.file and changed == self._tail.changed and (self._folder / self._tail.file).stat().st_size == self._tail.size:
            return self._tail
        days = self._days()
        if not days:
            seals = self._seals()
            return _Tail("", 0, changed, Head(seals[-1]["last"], seals[-1]["root"])) if seals else _Tail(changed=changed)
        newest = days[-1]
        line, whole = _last_line(newest)
        self._cut += newest.stat().st_size - whole
        os.truncate(newest, whole)
        if line is None:  # a day of which nothing was acknowledged
            newest.unlink()
            return self._current()
        entry = _parse(line, newest.name)
        return _Tail(newest.name, whole, changed, Head(entry.seq, entry.hash))

    @cached_property
    def _key(self) -> bytes:
        with self._explained():
            return (self._folder / "key").read_bytes()

    def _changed(self) -> int:
        return self._folder.stat().st_mtime_ns

    def _days(self) -> list[Path]:
        return sorted(self._folder.glob("????-??-??.jsonl"))

    def _seals(self) -> list[dict[str, Any]]:
        path = self._folder / "seals.jsonl"
        if not path.exists():
            return []
        whole = path.read_bytes().rpartition(b"\n")[0]
        try:
            return [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise AuditError(f"the seals {str(path)!r} are damaged ({error})", "Put the last backup of that file in its place") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process writes meanwhile."""
        with (self._folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = f"the audit log {str(self._folder)!r} cannot be written or read ({error.strerror})"
            raise AuditError(problem, "Free some space or mend its permissions; the line must not go on without its log") from error


def _check(kind: str, data: dict[str, Any]) -> None:
    known = events().get(kind)
    if known is None:
        raise AuditError(f"{kind!r} is no kind of audit event", f"Use one of {', '.join(events())}")
    strange = sorted(set(data) - known)
    if strange:
        raise AuditError(f"the event {kind} has no field {strange[0]!r}", f"Use {', '.join(sorted(known))}")
    for name, value in data.items():
        for one in value if isinstance(value, list | tuple) else (value,):
            if not isinstance(one, str | int | float | bool | None) or (isinstance(one, str) and len(one) > _LONGEST_VALUE):
                problem = f"the field {name!r} of the event {kind} is no number and no text of at most {_LONGEST_VALUE} letters"
                raise AuditError(problem, "Log an id, a code or a fingerprint, never what was said")
        if isinstance(value, list | tuple) and len(value) > _MOST_VALUES:
            raise AuditError(f"the field {name!r} of the event {kind} has {len(value)} values", f"Log at most {_MOST_VALUES}")
    if len(_canonical(data)) > _LONGEST_ENTRY:
        raise AuditError(f"the event {kind} is longer than {_LONGEST_ENTRY} bytes", "Log less")


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(entry: dict[str, Any]) -> str:
    return hashlib.sha256(entry["prev"].encode() + _canonical(entry)).hexdigest()


def _append(path: Path, data: bytes) -> None:
    """Add to a file, on the disk when this returns; where that fails, the file is as it was."""
    new = not path.exists()
    with path.open("ab", buffering=0) as stream:
        before = stream.seek(0, os.SEEK_END)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[stream.write(rest) :]
            os.fsync(stream.fileno())
        except OSError:
            os.truncate(path, before)
            raise
    if new:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_secret(path: Path) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(secrets.token_bytes(32))
        os.fsync(stream.fileno())


def _lines(path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines of the first `size` bytes, with their numbers; what follows the last newline is left out. None is read past its limit."""
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(4 * _LONGEST_ENTRY):
            number += 1
            if stream.tell() > size or (not line.endswith(b"\n") and stream.tell() == size):
                return
            yield number, line


def _last_line(path: Path) -> tuple[bytes | None, int]:
    """The last whole line of a file, and where it ends."""
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        start = stream.seek(max(0, size - 8 * _LONGEST_ENTRY))
        block = stream.read()
    end = block.rfind(b"\n") + 1
    return (block[block.rfind(b"\n", 0, end - 1) + 1 : end], start + end) if end else (None, 0)


def _parse(line: bytes, where: str) -> Entry:
    try:
        plain = json.loads(line)
        at = dt.datetime.fromisoformat(plain["at"])
        return Entry(int(plain["seq"]), at, str(plain["kind"]), dict(plain["data"]), str(plain["prev"]), str(plain["hash"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise AuditError(f"the audit entry at {where} cannot be read", "Run bedside audit verify, and put a backup in its place") from error


def _verify(sizes: list[tuple[Path, int]], seals: list[dict[str, Any]], kept: Head | None) -> Verified:
    sealed = {seal["day"]: seal for seal in seals}
    gone = [seal for seal in seals if not sizes or seal["day"] < sizes[0][0].stem]
    head, count, unfinished = (Head(gone[-1]["last"], gone[-1]["root"]) if gone else Head(0, GENESIS)), 0, 0
    met = kept is None or kept == Head(0, GENESIS) or any(kept == (seal["last"], seal["root"]) or kept.seq < seal["last"] for seal in gone)
    for path, size in sizes:
        whole = 0
        for number, line in _lines(path, size):
            problem, head_now = _next(line, head)
            if kept is not None and head_now.seq == kept.seq:
                problem, met = problem or ("" if head_now == kept else "its hash is not the one that was kept"), True
            if problem:
                return Verified(count, head, f"{path.name} line {number}, entry {head.seq + 1}: {problem}")
            head, count, whole = head_now, count + 1, whole + len(line)
        seal = sealed.get(path.stem)
        if seal and (head != (seal["last"], seal["root"]) or whole != seal["bytes"]):
            return Verified(count, head, f"{path.name}: it ends with entry {head.seq}, and its seal names entry {seal['last']}")
        unfinished = size - whole
        if unfinished and path != sizes[-1][0]:
            return Verified(count, head, f"{path.name}: {unfinished} bytes after entry {head.seq} are no entry")
    missing = None if met else f"the log ends with entry {head.seq}, and entry {kept.seq if kept else 0} was kept"
    return Verified(count, head, missing, unfinished)


def _next(line: bytes, head: Head) -> tuple[str, Head]:
    """What is wrong with the line as the entry after `head` (empty: nothing), and the head that it makes."""
    try:
        plain = json.loads(line)
        claimed = plain.pop("hash")
        found = Head(int(plain["seq"]), str(claimed))
        if _canonical({**plain, "hash": claimed}) + b"\n" != line:
            return "it is not written as entries are", found
        if found.seq != head.seq + 1:
            return f"its number is {found.seq}", found
        if plain["prev"] != head.hash:
            return "it does not follow the entry before it", found
        return ("" if _digest(plain) == claimed else "its content does not match its hash"), found
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "it is no entry", head
