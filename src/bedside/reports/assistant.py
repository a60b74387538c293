"""A report beside the patient's record: every finding as the device states it, what the record changes about it, and what is not known.

The rules decide; a model may only word the summary, and every word of that is checked back (`narrative`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from bedside.engine.base import Engine
from bedside.errors import SourceError
from bedside.knowledge.report_facts import Urgency
from bedside.reports.context import Context, Reason, place_of
from bedside.reports.contradictions import contradictions
from bedside.reports.model import DiagnosticReport, Finding, Measured
from bedside.reports.narrative import Summary, summarise
from bedside.reports.patient import PatientRecord, check_identity, read_patient
from bedside.reports.readings import Abnormal, Reading, place
from bedside.reports.rules import Missing, Note, apply, in_order

DISCLAIMER = "Not a medical device; not for clinical use without validation. For clinicians; facts not yet reviewed by a clinician."

_OWN = "The report itself"
_MOST_ASKED = 400
"""Characters of the rule titles shown with one missing fact."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything that is said about one patient's reports.

    Attributes:
        context: the reports, the record, and what was measured.
        notes: context notes, contradictions and abnormal results, most urgent first.
        quality: how far report, record and recording can be trusted, most urgent first.
        missing: facts that are not known and would decide rules.
        summary: a few sentences.
    """

    context: Context
    notes: tuple[Note, ...]
    quality: tuple[Note, ...]
    missing: tuple[Missing, ...]
    summary: Summary


def report(path: Path, patient: Path | None = None, *, engine: Engine | None = None, day: date | None = None) -> Assessment:
    """Read a report, and the patient's record where there is one, and put them together.

    Args:
        path: of a report in any format that is read.
        patient: of a FHIR bundle or YAML (`patient.read_patient`).
        engine: words the summary; without one a template does.
        day: on which the report is read, where it carries no date; today where none is given.

    Raises:
        BedsideError: a file cannot be read, or report and record are of different people.
    """
    from bedside.reports.measure import measure
    from bedside.reports.readers import read_report

    reports = read_report(path)
    record = read_patient(patient) if patient else None
    return assess(reports, record, measured=[measure(one) for one in reports], engine=engine, day=day or date.today())


def assess(
    reports: Sequence[DiagnosticReport],
    record: PatientRecord | None = None,
    *,
    measured: Sequence[Measured] = (),
    engine: Engine | None = None,
    day: date | None = None,
) -> Assessment:
    """Put reports of one patient and the record together.

    Raises:
        SourceError: no report, reports of different people, or a record of somebody else.
    """
    if not reports:
        raise SourceError("there is no report in that file", "Give a file that holds one")
    identity = _identity(reports, record)
    context = Context(reports, record, measured, day)
    found, missing = apply(context)
    everything = [*found, *contradictions(context), *(_abnormal(one, what) for one, what in context.abnormal)]
    quality = in_order([*identity, *_problems(context), *(note for note in everything if note.kind == "quality")])
    notes = in_order(note for note in everything if note.kind != "quality")
    return Assessment(context, notes, quality, missing, summarise(context, notes, quality, missing, engine))


def _identity(reports: Sequence[DiagnosticReport], record: PatientRecord | None) -> list[Note]:
    """Warnings of identity; a different person is refused."""
    people = [record.person] if record else []
    warnings: list[Note] = []
    for number, one in enumerate(reports):
        for other in [*people, *(earlier.patient for earlier in reports[:number])]:
            told = check_identity(one.patient, other).warnings if record and other is record.person else _same_person(one, other)
            warnings += [_quality("quality.identity", warning, place_of(one), urgency="same_day") for warning in told]
    return list(dict.fromkeys(warnings))


def _same_person(report: DiagnosticReport, other: Any) -> tuple[str, ...]:
    """Reports of one file: different people are refused; that nothing identifies both is no fault of one file."""
    return tuple(warning for warning in check_identity(report.patient, other).warnings if not warning.startswith("Nothing"))


def _problems(context: Context) -> list[Note]:
    notes = [_quality(f"quality.{_id(part.reason)}", part.detail, place(part.source)) for one in context.reports for part in one.problems]
    for part in context.record.problems:
        urgency: Urgency = "soon" if part.reason == "unknown_key" else "information"
        notes.append(_quality("quality.record", f"Patient record: {part.detail}", place(part.source), urgency=urgency))
    for measured in context.measured:
        notes += [
            _quality(f"quality.{_id(note.code)}", note.text, place(note.source), urgency="same_day" if note.grave else "information")
            for note in measured.quality
        ]
    if context.unsearched:
        text = f"{context.unsearched} statements beyond the first {len(context.statements)} were not searched by any rule"
        notes.append(_quality("quality.too-long", text, place_of(context.reports[0]), urgency="soon"))
    for one in context.unknown_medicines:
        text = f"The medicine “{one.text}” is not known to bedside: nothing was checked for it"
        notes.append(_quality("quality.unknown-medicine", text, one.source, urgency="soon"))
    return notes


def _id(code: str) -> str:
    return code.replace("_", "-")


def _quality(rule: str, text: str, source: str, *, urgency: Urgency = "information") -> Note:
    return Note(rule, text.rstrip(".") + ".", urgency, (Reason("fact", text, source),), _OWN, "C", "quality")


def _abnormal(one: Reading, what: Abnormal) -> Note:
    """The note of one abnormal result: on which side, by what, and whether an alert limit is reached."""
    side = {"high": "high", "low": "low", "abnormal": "abnormal"}[what.direction]
    flag = one.finding.flag.strip()
    by = {
        "flag": f"flagged {flag} by the report" + (f" (range {what.limits})" if what.limits else ""),
        "own range": f"outside the report's range {what.limits}",
        "harmonised interval": f"outside {what.limits}, a usual limit used because the report gave none",
        "alert limit": f"beyond the alert limit {what.limits}",
    }[what.by]
    critical = " At or beyond an alert limit." if what.critical else ""
    rule = f"abnormal.{what.by.replace(' ', '-')}"
    urgency: Urgency = "same_day" if what.critical else "routine"
    because = (Reason("result", str(one), place(one.finding.source)),)
    return Note(rule, f"{one}: {side}, {by}.{critical}", urgency, because, what.source or _OWN, "C", "abnormal")


def as_json(found: Assessment) -> dict[str, Any]:
    """An assessment as plain data: `findings`, `notes`, `quality`, `missing`, `summary`."""
    abnormal = {id(one.finding): what for one, what in found.context.abnormal}
    return {
        "findings": [_finding(one.finding, abnormal.get(id(one.finding))) for one in found.context.readings],
        "notes": [_note(note) for note in found.notes],
        "quality": [_note(note) for note in found.quality],
        "missing": [missing_text(one) | {"rules": list(one.rules)} for one in found.missing],
        "summary": found.summary.text,
    }


def _finding(finding: Finding, what: Abnormal | None) -> dict[str, Any]:
    flag = finding.flag or ({"high": "H", "low": "L"}.get(what.direction, "A") + " (calculated)" if what else "")
    limits = finding.range
    bounds = "" if limits is None else limits.text or "–".join("" if side is None else f"{side:g}" for side in (limits.low, limits.high))
    text = finding.text if finding.name.lower() in finding.text.lower() else f"{finding.name}: {finding.text}"
    return {
        "code": finding.code,
        "text": text,
        "value": finding.value,
        "unit": finding.unit,
        "range": bounds,
        "flag": flag,
        "source": place(finding.source),
    }


def _note(note: Note) -> dict[str, Any]:
    return {
        "rule": note.rule,
        "text": note.text,
        "urgency": note.urgency,
        "because": [{"text": reason.text, "source": reason.source} for reason in note.because],
        "source": note.source,
        "certainty": note.certainty,
    }


def missing_text(one: Missing) -> dict[str, str]:
    """A missing fact with what it would decide, in one sentence."""
    titles = "; ".join(one.decides)
    return {
        "fact": one.fact,
        "text": f"Not known: {one.fact}. It would decide: {titles[:_MOST_ASKED]}{'…' if len(titles) > _MOST_ASKED else ''}.",
    }
