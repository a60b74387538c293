"""A watched folder: every report that comes to rest in it is noted once; what cannot be is moved aside with the reason."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bedside.errors import SourceError
from bedside.reports.feed.desk import PAGE, REASON, REFUSED, RESULT, Desk, Outcome, free_name
from bedside.reports.feed.durable import write_durably
from bedside.reports.feed.store import Arrival, Store
from bedside.reports.readers import read_report
from bedside.reports.readers.source import MAX_BYTES
from bedside.reports.readers.wfdb_record import signal_files
from bedside.workspace.files import disk_errors, sha256_file

QUEUE = ".bedside-feed.sqlite"
"""In the folder of the results: what was noted already."""
SETTLE_SECONDS = 2.0
"""A file that did not change for so long is whole."""
_LOOK_MILLISECONDS = 1000
"""A folder on a network drive sends no word of changes, so it is also looked at so often."""
_OWN = (RESULT, PAGE, REASON)
_SIGNALS = (".dat", ".atr")
"""Of a WFDB record: such files wait for their header."""
_PATIENCE_SECONDS = 60.0
"""A header waits so long for its signal files."""

Parts = tuple[Path, ...]
"""The file of a report, and those that belong to it whether they are there or not."""
Stamp = tuple[tuple[int, int], ...]
"""Size and time of each part that is there."""


@dataclass(slots=True)
class _Seen:
    stamp: Stamp
    since: float

    def rests(self, parts: Parts, settle: float) -> bool:
        """Whether nothing of the report changed for long enough."""
        wait = settle if len(self.stamp) == len(parts) else max(settle, _PATIENCE_SECONDS)
        return time.monotonic() - self.since >= wait


class Folder:
    """A folder whose reports are noted.

    Args:
        folder: where reports come; its sub-folders are left alone.
        store: what was noted already, so that a watch that was stopped goes on where it was.
        desk: notes a report.
        settle: seconds for which a file must not change.

    Raises:
        SourceError: there is no such folder.
    """

    def __init__(self, folder: Path, store: Store, desk: Desk, *, settle: float = SETTLE_SECONDS) -> None:
        if not folder.is_dir():
            raise SourceError(f"there is no folder {str(folder)!r}", "Make it, or correct the path")
        self._folder, self._store, self._desk, self._settle = folder, store, desk, settle
        self._seen: dict[Path, _Seen] = {}
        self._finished: dict[Path, Stamp] = {}

    def watch(self, stop: threading.Event) -> Iterator[Outcome]:
        """What becomes of each report, as they come, until `stop` is set."""
        from watchfiles import watch

        yield from self.look()
        for _ in watch(self._folder, stop_event=stop, rust_timeout=_LOOK_MILLISECONDS, yield_on_timeout=True, recursive=False):
            yield from self.look()

    def look(self) -> Iterator[Outcome]:
        """Note every report that is there, has come to rest, and was not noted yet."""
        found = {parts[0]: parts for parts in self._reports()}
        self._seen = {path: seen for path, seen in self._seen.items() if path in found}
        for path, parts in sorted(found.items()):
            stamp = _stamp(parts)
            seen = self._seen.setdefault(path, _Seen(stamp, time.monotonic()))
            if seen.stamp != stamp:
                self._seen[path] = _Seen(stamp, time.monotonic())
            elif self._finished.get(path) != stamp and seen.rests(parts, self._settle):
                outcome = self._note(parts)
                self._finished[path] = stamp
                if outcome:
                    yield outcome

    def _note(self, parts: Parts) -> Outcome | None:
        """What becomes of a report; None where it was noted before."""
        path = parts[0]
        (receipt,) = self._store.put([Arrival("", path.name, _digest(parts), path.name, None)])
        if receipt.state == "done" and self._desk.has(path.name):
            return None
        message = self._store.begin(receipt.id)
        (outcome,) = self._desk.note([(message, lambda: read_report(path))])
        if outcome.refused:
            self._store.refuse(message, outcome.refused)
            self._set_aside(parts, outcome.refused)
        return outcome

    def _set_aside(self, parts: Parts, reason: str) -> None:
        folder = self._folder / REFUSED
        with disk_errors(folder):
            folder.mkdir(exist_ok=True)
            target = free_name(folder, parts[0].name)
            write_durably(target.with_name(target.name + REASON), reason + "\n")
            for part, place in zip(parts, (target, *(folder / part.name for part in parts[1:])), strict=True):
                if part.is_file():
                    part.rename(place)

    def _reports(self) -> Iterator[Parts]:
        """Files that may be reports, each with those that belong to it."""
        files = [path for path in self._folder.iterdir() if path.is_file() and not path.is_symlink()]
        records = {path: signal_files(path) for path in files if path.suffix.lower() == ".hea"}
        belonging = {part for parts in records.values() for part in parts}
        for path in files:
            own = path.name.startswith(".") or path.name.endswith(_OWN)
            if not own and path not in belonging and path.suffix.lower() not in _SIGNALS:
                yield (path, *records.get(path, ()))


def _stamp(parts: Parts) -> Stamp:
    found = []
    for part in parts:
        try:
            status = part.stat()
        except FileNotFoundError:
            continue
        found.append((status.st_size, status.st_mtime_ns))
    return tuple(found)


def _digest(parts: Parts) -> str:
    """A hash of the content; of what is too large to be read anyway, of its size."""
    there = [part for part in parts if part.is_file()]
    sizes = [part.stat().st_size for part in there]
    told = repr(sizes) if sum(sizes) > MAX_BYTES else "".join(map(sha256_file, there))
    return hashlib.sha256(told.encode()).hexdigest()
