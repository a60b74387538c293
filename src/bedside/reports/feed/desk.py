"""One message at a time: read it, merge it with earlier versions, assess it beside the patient's record, write the result."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bedside.engine.base import Engine
from bedside.errors import BedsideError, WorkspaceError
from bedside.knowledge.report_facts import URGENCIES, Urgency
from bedside.reports.assistant import DISCLAIMER, Assessment, as_json, assess
from bedside.reports.feed.records import Records
from bedside.reports.feed.store import Filing, Message, Store, Version, report_key
from bedside.reports.measure import measure
from bedside.reports.model import DiagnosticReport
from bedside.reports.readers import supersede
from bedside.workspace.files import written_whole

RESULT, PAGE, REASON = ".report.json", ".report.html", ".reason.txt"
"""Endings of what is written."""
REFUSED = "refused"
"""Folder of what could not be noted, each with its reason."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message.

    Attributes:
        name: of the message.
        refused: why it could not be noted, with what to do; "" where it was.
        notes: how many notes its results hold.
        urgency: the most urgent of them; None where there is none.
    """

    name: str
    refused: str = ""
    notes: int = 0
    urgency: Urgency | None = None


class Desk:
    """Notes messages.

    Args:
        store: where messages and earlier versions are.
        out: folder of the results.
        records: of the patients.
        engine: words the summaries; without one a template does.
        pages: write an HTML page beside each JSON file.
    """

    def __init__(self, store: Store, out: Path, records: Records, *, engine: Engine | None = None, pages: bool = False) -> None:
        self._store, self._out, self._records, self._engine, self._pages = store, out, records, engine, pages

    def note(self, message: Message, read: Callable[[], list[DiagnosticReport]]) -> Outcome:
        """Read a message, write its results, and mark it as done; one that cannot be noted is left to the caller to file and mark.

        Doing it again changes nothing: a result is written before its message is marked, so a worker that is killed in between writes
        the same file again.

        Raises:
            WorkspaceError: the disk is full or cannot be written; the message waits on.
        """
        try:
            filings = self._filed(message.sender, read())
            assessments = [self._assessed(filing) for filing in filings]
        except WorkspaceError:
            raise
        except BedsideError as error:
            return Outcome(message.name, str(error))
        except Exception as error:  # a fault of ours must not stop the feed; the text of it could hold a patient's words
            place = traceback.extract_tb(error.__traceback__)[-1]
            return Outcome(message.name, f"Internal fault: {type(error).__name__} at {Path(place.filename).name}:{place.lineno}.")
        for number, (filing, found) in enumerate(zip(filings, assessments, strict=True), 1):
            before, filing.result = filing.result, message.name if number == 1 else f"{message.name}-{number}"
            self._write(filing.result, message, found, supersedes=before if before != filing.result else "")
            if before and before != filing.result:
                self._point(before, filing.result)
        self._store.finish(message, filings)
        urgencies = [note.urgency for found in assessments for note in (*found.notes, *found.quality)]
        return Outcome(message.name, "", sum(len(found.notes) for found in assessments), min(urgencies, key=URGENCIES.index, default=None))

    def has(self, name: str) -> bool:
        """Whether the result of a message is there."""
        return (self._out / f"{name}{RESULT}").is_file()

    def _filed(self, sender: str, reports: Sequence[DiagnosticReport]) -> list[Filing]:
        """Reports with what they are read together with: those of one person in the message, and those that an earlier version came with."""
        known: dict[Hashable, Filing] = {}
        new: list[DiagnosticReport] = []
        for report in reports:
            found = self._store.earlier(sender, report)
            if found is None:
                new.append(report)
                continue
            earlier, filing = found
            filing = known.setdefault(filing.id, filing)
            known.setdefault(_person(report), filing)
            for version in filing.versions:
                if version.id == earlier.id:
                    version.report = supersede(version.report, report)
        for report in new:
            filing = known.setdefault(_person(report), Filing([]))
            filing.versions.append(Version(report, report_key(sender, report)))
            filing.keep = filing.keep and not report.signals
        return list({id(filing): filing for filing in known.values()}.values())

    def _assessed(self, filing: Filing) -> Assessment:
        reports = [version.report for version in filing.versions]
        record = next((found for one in reports if (found := self._records.of(one.patient))), None)
        return assess(reports, record, measured=[measure(one) for one in reports], engine=self._engine)

    def _write(self, name: str, message: Message, found: Assessment, *, supersedes: str) -> None:
        reports = found.context.reports
        row = {
            "message": {"sender": message.sender, "control_id": message.control, "received": message.received, "supersedes": supersedes},
            "patient": reports[0].patient.model_dump(mode="json"),
            "reports": [
                one.model_dump(mode="json", include={"id", "title", "kind", "status", "time", "issued", "device", "format"})
                for one in reports
            ],
            **as_json(found),
            "disclaimer": DISCLAIMER,
        }
        write_durably(self._out / f"{name}{RESULT}", json.dumps(row, ensure_ascii=False))
        if self._pages:
            from bedside.reports.page import page
            from bedside.reports.plots import plots

            drawn = [plot for one in reports for plot in plots(one)]
            write_durably(self._out / f"{name}{PAGE}", page(found, drawn))

    def _point(self, name: str, newer: str) -> None:
        """Leave, where an earlier version was, only the way to the one that took its place."""
        row: dict[str, Any] = {"superseded_by": f"{newer}{RESULT}"}
        write_durably(self._out / f"{name}{RESULT}", json.dumps(row, ensure_ascii=False))
        if self._pages:
            from bedside.reports.page import superseded_page

            write_durably(self._out / f"{name}{PAGE}", superseded_page(f"{newer}{PAGE}"))


def write_durably(path: Path, text: str) -> None:
    """Write a file whole, and wait until the disk has it.

    Raises:
        WorkspaceError: the disk is full or not writable.
    """
    with written_whole(path) as partial, partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def free_name(folder: Path, name: str) -> Path:
    """A path in a folder that nothing has: the name itself, else with a number."""
    stem, dot, suffix = name.partition(".")
    names: Iterator[str] = (name if number == 1 else f"{stem}-{number}{dot}{suffix}" for number in range(1, 1_000_000))
    return next(folder / one for one in names if not (folder / one).exists())


def _person(report: DiagnosticReport) -> Hashable:
    person = report.patient
    return frozenset(person.identifiers.items()), person.family.lower(), person.given.lower(), person.birth_date
