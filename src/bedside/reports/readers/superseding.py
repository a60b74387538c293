"""Later versions of a report: what takes the place of what."""

from __future__ import annotations

from collections import Counter

from bedside.reports.model import DiagnosticReport, Finding, Problem, Span
from bedside.reports.readers.source import ReportError
from bedside.reports.readers.values import utc

_RANK = {"registered": 0, "unknown": 1, "preliminary": 1, "final": 2, "corrected": 3, "cancelled": 3}


def supersede(old: DiagnosticReport, new: DiagnosticReport) -> DiagnosticReport:
    """One report from two versions of it.

    The later one counts: by the time of issue, else by status, else `new`. Results that it gives again take the place of the earlier ones,
    which become problems where they differ; results that it does not give again stay, as HL7 v2 deletes none by silence. A version that
    cancels the report takes all its results away. `old` that is issued later than `new` stays, and `new` is noted as out of order.

    Raises:
        ReportError: the two are not versions of one report.
    """
    if not same_report(old, new):
        raise ReportError(
            f"report {new.id or new.title or 'without id'} is no version of {old.id or old.title or 'one without id'}",
            "Read them as two reports",
        )
    first, last = (new, old) if _is_later(old, new) else (old, new)
    problems: list[Problem] = []
    if last is old:
        detail = f"a version of {new.issued or new.status} came after that of {old.issued or old.status}"
        problems.append(Problem(reason="out_of_order", detail=detail, source=_place(new)))
    again = _keyed(last.findings)
    kept: list[Finding] = []
    for key, finding in _keyed(first.findings).items():
        later = again.get(key)
        if later is None and last.status != "cancelled":
            kept.append(finding)
        elif later is None or (later.written_value, later.text) != (finding.written_value, finding.text):
            detail = f"{finding.text} gave way to {later.text if later else 'a cancelled report'}"
            problems.append(Problem(reason="superseded", detail=detail[:300], source=finding.source))
    if kept:
        problems.append(
            Problem(reason="not_repeated", detail=f"{len(kept)} results stand in an earlier version only", source=kept[0].source)
        )
    return last.model_copy(
        update={
            "findings": (*last.findings, *kept),
            "signals": last.signals or first.signals,
            "comments": tuple(dict.fromkeys((*last.comments, *(first.comments if kept else ())))),
            "problems": tuple(dict.fromkeys((*last.problems, *first.problems, *problems))),
        }
    )


def same_report(one: DiagnosticReport, other: DiagnosticReport) -> bool:
    """Whether two are versions of one report: the same id and title, and nothing that says another person."""
    people = one.patient, other.patient
    kinds = people[0].identifiers.keys() & people[1].identifiers.keys()
    same_person = all(people[0].identifiers[kind] == people[1].identifiers[kind] for kind in kinds)
    born = {person.birth_date for person in people if person.birth_date}
    return bool(one.id) and (one.id, one.title) == (other.id, other.title) and same_person and len(born) < 2


def settled(reports: list[DiagnosticReport]) -> list[DiagnosticReport]:
    """Reports of one file, each in its last version, in the order of their first ones."""
    latest: dict[tuple[object, ...], DiagnosticReport] = {}
    for place, report in enumerate(reports):
        person = report.patient
        key = (report.id or place, report.title, frozenset(person.identifiers.items()), person.family.lower(), person.birth_date)
        latest[key] = supersede(latest[key], report) if key in latest else report
    return list(latest.values())


def _is_later(old: DiagnosticReport, new: DiagnosticReport) -> bool:
    if old.issued and new.issued and utc(old.issued) != utc(new.issued):
        return utc(old.issued) > utc(new.issued)
    return _RANK[old.status] > _RANK[new.status]


def _place(report: DiagnosticReport) -> Span:
    return report.findings[0].source if report.findings else Span(file="")


def _keyed(findings: tuple[Finding, ...]) -> dict[tuple[str, str, str, int], Finding]:
    """Findings by what they are of; those of one name by their order."""
    counts: Counter[tuple[str, str, str]] = Counter()
    keyed: dict[tuple[str, str, str, int], Finding] = {}
    for finding in findings:
        key = (finding.system, finding.code, finding.name)
        counts[key] += 1
        keyed[(*key, counts[key])] = finding
    return keyed
