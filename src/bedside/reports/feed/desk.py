"""Each message: read it, merge it with earlier versions, assess it beside the patient's record, write the result."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bedside.engine.base import Engine
from bedside.errors import BedsideError, WorkspaceError
from bedside.knowledge.report_facts import URGENCIES, Urgency
from bedside.reports.assistant import DISCLAIMER, Assessment, as_json, assess
from bedside.reports.feed.durable import Files
from bedside.reports.feed.records import Records
from bedside.reports.feed.store import Filing, Message, Store, Version, report_key
from bedside.reports.measure import measure
from bedside.reports.model import DiagnosticReport
from bedside.reports.readers import supersede

RESULT, PAGE, REASON = ".report.json", ".report.html", ".reason.txt"
"""Endings of what is written."""
REFUSED = "refused"
"""Folder of what could not be noted, each with its reason."""
_TOGETHER_SECONDS = 0.5
"""The first result of a batch waits no longer for the others; a model takes seconds for each."""
Read = Callable[[], list[DiagnosticReport]]
"""Gives the reports of a message."""


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

    def note(self, tasks: Sequence[tuple[Message, Read]]) -> list[Outcome]:
        """Read messages, write their results, and mark them as done; one that cannot be noted is left to the caller to file and mark.

        Doing it again changes nothing: results are on the disk before their messages are marked, so a worker that is killed in between
        writes the same files again.

        Returns:
            What became of each message, in their order.

        Raises:
            WorkspaceError: the disk is full or cannot be written; the messages wait on.
        """
        outcomes: list[Outcome] = []
        while len(outcomes) < len(tasks):
            outcomes += self._note_together(tasks[len(outcomes) :])
        return outcomes

    def _note_together(self, tasks: Sequence[tuple[Message, Read]]) -> list[Outcome]:
        """Note messages with one wait for the disk: for some time, and up to the first that has another version of a report before it."""
        end = time.monotonic() + _TOGETHER_SECONDS
        outcomes: list[Outcome] = []
        noted: list[tuple[Message, list[Filing]]] = []
        held: set[str] = set()
        with Files() as files:
            for message, read in tasks:
                if outcomes and time.monotonic() > end:
                    break
                try:
                    reports = read()
                    if held & {report_key(message.sender, report) for report in reports}:
                        break
                    filings = self._filed(message.sender, reports)
                    assessments = [self._assessed(filing) for filing in filings]
                except WorkspaceError:
                    raise
                except BedsideError as error:
                    outcomes.append(Outcome(message.name, str(error)))
                    continue
                except Exception as error:  # a fault of ours must not stop the feed; the text of it could hold a patient's words
                    outcomes.append(Outcome(message.name, _fault(error)))
                    continue
                outcomes.append(self._written(files, message, filings, assessments))
                noted.append((message, filings))
                held |= {version.key for filing in filings for version in filing.versions if version.key}
        self._store.finish(noted)
        return outcomes

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

    def _written(self, files: Files, message: Message, filings: Sequence[Filing], assessments: Sequence[Assessment]) -> Outcome:
        for number, (filing, found) in enumerate(zip(filings, assessments, strict=True), 1):
            before, filing.result = filing.result, message.name if number == 1 else f"{message.name}-{number}"
            self._write(files, filing.result, message, found, supersedes=before if before != filing.result else "")
            if before and before != filing.result:
                self._point(files, before, filing.result)
        urgencies = [note.urgency for found in assessments for note in (*found.notes, *found.quality)]
        return Outcome(message.name, "", sum(len(found.notes) for found in assessments), min(urgencies, key=URGENCIES.index, default=None))

    def _write(self, files: Files, name: str, message: Message, found: Assessment, *, supersedes: str) -> None:
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
        files.write(self._out / f"{name}{RESULT}", json.dumps(row, ensure_ascii=False))
        if self._pages:
            from bedside.reports.page import page
            from bedside.reports.plots import plots

            drawn = [plot for one in reports for plot in plots(one)]
            files.write(self._out / f"{name}{PAGE}", page(found, drawn))

    def _point(self, files: Files, name: str, newer: str) -> None:
        """Leave, where an earlier version was, only the way to the one that took its place."""
        row: dict[str, Any] = {"superseded_by": f"{newer}{RESULT}"}
        files.write(self._out / f"{name}{RESULT}", json.dumps(row, ensure_ascii=False))
        if self._pages:
            from bedside.reports.page import superseded_page

            files.write(self._out / f"{name}{PAGE}", superseded_page(f"{newer}{PAGE}"))


def free_name(folder: Path, name: str) -> Path:
    """A path in a folder that nothing has: the name itself, else with a number."""
    stem, dot, suffix = name.partition(".")
    names: Iterator[str] = (name if number == 1 else f"{stem}-{number}{dot}{suffix}" for number in range(1, 1_000_000))
    return next(folder / one for one in names if not (folder / one).exists())


def _fault(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"Internal fault: {type(error).__name__} at {Path(place.filename).name}:{place.lineno}."


def _person(report: DiagnosticReport) -> Hashable:
    person = report.patient
    return frozenset(person.identifiers.items()), person.family.lower(), person.given.lower(), person.birth_date
