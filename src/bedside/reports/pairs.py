"""Training pairs for the diagnostics assistant: what was reported, and what was on record → what an expert writes beside it.

Two readers of sources (`bedside.readers`):

    diagnostics         files in every format that reports are read in; `NAME.patient.yaml` (or `.json`) beside a report is its record
    invented_reports    a YAML file that says how many reports to invent for each context rule and template: {each: 8, seed: 7}

Each report gives up to four sorts of pairs. `expert`: a report that holds an expert's own interpretation is answered with that. `note`: an
entry with what is on record → the context note of the rules, with the standardised finding and what it rests on. `template`: a single
reading or statement → the template library. `summary`: findings and notes → a clinician's summary, in the words of the prompt that
`narrative` uses at work. Every pair says in `labels["audience"]` that a clinician reads it, and names its place in the source in
`labels["span"]`; what nothing of ours holds for is counted and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import yaml

from bedside.corpus.conversation import Role
from bedside.corpus.pairs.library import Output, by_statement, by_value, library_records, question
from bedside.corpus.sources import BadRecord, Record, reader
from bedside.errors import BedsideError, SourceError
from bedside.knowledge.report_facts import ReportRule, report_rules
from bedside.reports.assistant import Assessment, assess
from bedside.reports.invented import cases
from bedside.reports.measure import measure
from bedside.reports.model import DiagnosticReport, Finding, Span
from bedside.reports.narrative import SENTENCE, is_supported, prompt, sources
from bedside.reports.patient import PatientRecord, read_patient
from bedside.reports.readers import read_report
from bedside.reports.readings import place, shown
from bedside.reports.rules import Note

_EXPERT = {"impression", "conclusion", "interpretation", "diagnosis", "opinion"}
"""Names of what an expert wrote in a report."""
_RECORDS = (".patient.yaml", ".patient.json")
_LEFT_OUT = ("superseded", "cancelled")
"""Problems of a report that are results which must not be learnt."""
_CONTEXT = 768
"""Tokens for which summaries are asked; recipes that teach them have at least this `training.max_length`."""
_SENTENCES = 4

Messages = tuple[tuple[Role, str], ...]


@reader("diagnostics", layout="reports in the formats of `bedside report`, one or a folder of them")
def read(path: Path) -> Iterator[Record | BadRecord]:
    """The pairs of a file, or of every file of a folder.

    Raises:
        OSError: a file cannot be read.
    """
    files = sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
    for file in files:
        if not file.name.endswith(_RECORDS) and not file.name.startswith("."):
            yield from _of_file(file)


@reader("invented_reports", layout="a YAML file such as {each: 8, seed: 7}")
def read_invented(path: Path) -> Iterator[Record | BadRecord]:
    """The pairs of invented reports for each context rule.

    Raises:
        SourceError: the file says something else.
    """
    try:
        asked = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is no YAML ({' '.join(str(error).split())[:120]})", "Write for example {each: 8, seed: 7}") from error
    if not isinstance(asked, dict) or asked.keys() != {"each", "seed"} or not all(type(value) is int for value in asked.values()):
        raise SourceError(f"{path} does not say how many reports to invent", "Write for example {each: 8, seed: 7}")
    yield from library_records(each=asked["each"], seed=asked["seed"])
    counts: dict[str, int] = {}
    for case in cases(each=asked["each"], seed=asked["seed"]):
        number = counts[case.rule] = counts.get(case.rule, 0) + 1
        yield from _pairs(case.found, f"{case.rule}:{number}", family=case.rule)
    for rule in report_rules():
        if rule.id not in counts:
            yield BadRecord("not_invented", rule.id, "no invented report made this rule fire")


def _of_file(file: Path) -> Iterator[Record | BadRecord]:
    try:
        reports = read_report(file)
        record = next((read_patient(beside) for end in _RECORDS if (beside := file.with_name(file.name + end)).is_file()), None)
        assessments = _assessed(reports, record)
    except BedsideError as error:
        yield BadRecord("unreadable_report", file.name, error.problem[:200])
        return
    for number, found in enumerate(assessments, 1):
        yield from _pairs(found, f"{file.name}:{number}", family=f"report:{file.name}")
    for report in reports:
        for problem in report.problems:
            if problem.reason in _LEFT_OUT:
                yield BadRecord(problem.reason, place(problem.source), "a result that does not count")


def _assessed(reports: Sequence[DiagnosticReport], record: PatientRecord | None) -> list[Assessment]:
    """Reports of one person together; those of several people each alone, which a record fits only where it is of that person."""
    measured = [measure(one) for one in reports]
    try:
        return [assess(reports, record, measured=measured)]
    except SourceError:
        if len(reports) == 1:
            raise
        return [assess([one], measured=[parts]) for one, parts in zip(reports, measured, strict=True)]


def _pairs(found: Assessment, where: str, *, family: str) -> Iterator[Record | BadRecord]:
    """All pairs of one assessment."""
    experts = [one.finding for one in found.context.readings if one.finding.name.lower() in _EXPERT]
    if experts:
        yield from _expert(found, experts, where, family)
    noted: set[str] = set()
    for number, note in enumerate((*found.notes, *found.quality), 1):
        if note.rule in _rules():
            yield from _note(found, note, f"{where}:note-{number}", family)
            noted |= {reason.source for reason in note.because}
    for number, one in enumerate(found.context.readings, 1):
        if one.finding not in experts and not (experts and one.finding.value is None) and place(one.finding.source) not in noted:
            yield from _template(one.finding, f"{where}:{number}", family)
    if found.context.readings and (target := _summary(found)):
        asked = prompt(_said(found), _CONTEXT)
        messages: Messages = (("system", asked[0]["content"]), ("user", asked[1]["content"]), ("assistant", target))
        yield _record(messages, f"{where}:summary", family, found.context.readings[0].finding.source, pair="summary")


def _expert(found: Assessment, experts: Sequence[Finding], where: str, family: str) -> Iterator[Record]:
    described = [one.finding for one in found.context.readings if one.finding not in experts]
    verbatim = "\n".join(_worded(finding) for finding in described)
    if not verbatim:
        return
    words = "\n".join(finding.text for finding in experts)
    answer = f"Reported: {verbatim}\nInterpretation: {words}"
    messages: Messages = (("user", question("section", verbatim)), ("assistant", answer))
    yield _record(messages, f"{where}:expert", family, experts[0].source, pair="expert")


def _note(found: Assessment, note: Note, where: str, family: str) -> Iterator[Record]:
    """A note as an entry and as a question; the fact behind it that the report holds is the entry, the others are what is on record."""
    of_report = [reason for reason in note.because if reason.kind in ("result", "statement")]
    beside = [reason.text for reason in note.because if reason not in of_report]
    spans = {place(one.finding.source): one.finding.source for one in found.context.readings}
    span = next((spans[reason.source] for reason in of_report if reason.source in spans), None)
    if span is None:
        return
    rule = _rules()[note.rule]
    verbatim = "; ".join(dict.fromkeys(reason.text for reason in of_report))
    context = f"\nOn record: {'; '.join(dict.fromkeys(beside))}" if beside else ""
    lacking = [missing.fact for missing in found.missing if note.rule in missing.rules]
    output = Output(
        term=rule.title[:1].upper() + rule.title[1:],
        means=note.text.rstrip("."),
        because=f"Rule {note.rule}, {note.source.rstrip('.')}",
        lacks=", ".join(lacking) or "nothing that this rule asks for",
    )
    for form in ("entry", "question"):
        messages: Messages = (("user", question(form, verbatim) + context), ("assistant", output.written(verbatim)))
        yield _record(messages, f"{where}:{form}", family, span, pair="note", rule=note.rule)


def _template(finding: Finding, where: str, family: str) -> Iterator[Record | BadRecord]:
    """What the template library says of a single finding, as an entry and as a question."""
    if finding.value is None:
        answer = by_statement(finding.text)
    else:
        limits = finding.range
        low, high = (limits.low, limits.high) if limits else (None, None)
        answer = by_value(finding.name, finding.code, finding.value, finding.written_unit or shown(finding.unit), low, high)
    if isinstance(answer, str):
        yield BadRecord(answer, where, "nothing of ours holds for this reading")
        return
    template, output = answer
    verbatim = _worded(finding)
    for form in ("entry", "question"):
        messages: Messages = (("user", question(form, verbatim)), ("assistant", output.written(verbatim)))
        yield _record(messages, f"{where}:{form}", family, finding.source, pair="template", template=template)


def _summary(found: Assessment) -> str:
    """A summary of which every sentence is borne out: the first sentence of the most urgent notes, then abnormal results; "" for none."""
    said = _said(found)
    notes = [note for note in (*found.notes, *found.quality) if note.kind != "abnormal" and note.urgency != "information"]
    first = [SENTENCE.split(note.text)[0] for note in notes] + [str(one) + "." for one, _ in found.context.abnormal]
    return " ".join([sentence for sentence in dict.fromkeys(first) if is_supported(sentence, said)][:_SENTENCES])


def _said(found: Assessment) -> list[str]:
    return sources(found.context, found.notes, found.quality)


def _worded(finding: Finding) -> str:
    """The report's own words with the name of what they are of."""
    return finding.text if finding.name.lower() in finding.text.lower() else f"{finding.name}: {finding.text}"


def _record(messages: Messages, where: str, family: str, span: Span, **labels: str) -> Record:
    """A pair for clinicians, with the place in its source."""
    return Record(messages, where, family, {**labels, "audience": "clinician", "span": span.model_dump()})


@cache
def _rules() -> dict[str, ReportRule]:
    return {rule.id: rule for rule in report_rules()}
