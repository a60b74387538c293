"""The facts that rules ask for: of one patient's reports and of the record, each with the place where it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from typing import Literal

from bedside.knowledge.medicines import expand
from bedside.knowledge.report_conditions import FactKind
from bedside.reports.model import DiagnosticReport, Finding, Measured, Sex
from bedside.reports.patient import Medicine, PatientRecord, RecordFact
from bedside.reports.readings import Abnormal, Reading, abnormality, by_analyte, place, reading
from bedside.reports.words import Spoken, spoken
from bedside.safety.cross_checks import Note as Caution
from bedside.safety.cross_checks import PatientFacts, cross_check
from bedside.safety.interactions import Reason as Interaction
from bedside.safety.interactions import check_list
from bedside.safety.medicines import Resolved, resolve

ReasonKind = Literal["result", "statement", "fact", "medicine", "change", "interaction", "caution", "limit", "none"]

_SEARCHED: dict[FactKind, tuple[str, ...]] = {
    "specimen": ("specimen", "recording", "note"),
    "recording": ("recording", "specimen", "note", "habit", "event"),
}
_NEW_DAYS = 7
MOST_STATEMENTS = 2000
"""More would take seconds; a report with more in words is a log and not a report."""
_ASKED_WITH = re.compile(
    r"\s*(?:relevant )?(?:clinical (?:info|note|detail|history|indication)|indication|reason for|history\b)", re.IGNORECASE
)
"""A comment that carries what the clinician wrote on the request; it tells of the patient, as the record does."""
_TOLD = ("condition", "symptom", "event", "habit", "device", "note", "indication")
"""Where a word of the record counts for the other kinds: people write facts under neighbouring headings."""


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """One fact that a note rests on: what kind, its words, and where it stands."""

    kind: ReasonKind
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Said:
    """Words of a report: a statement, a comment, or the report's own description of device and method."""

    text: str
    source: str
    is_comment: bool


class Context:
    """Reports of one patient beside the record.

    Args:
        reports: of one patient and, as a rule, one day.
        record: the patient's record; None where none was given.
        measured: what bedside measured itself from the reports' signals.
        day: the day on which the reports are read, for those that carry no date.
    """

    def __init__(
        self, reports: Sequence[DiagnosticReport], record: PatientRecord | None, measured: Sequence[Measured] = (), day: date | None = None
    ) -> None:
        self.reports = tuple(reports)
        self.measured = tuple(measured)
        self.record = record or PatientRecord()
        self._judged: dict[int, Abnormal | None] = {}
        moments = [moment for report in reports if (moment := report.time or report.issued)]
        self.day = max((moment.date() for moment in moments), default=day)

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """All findings of the reports, in their order, then what was measured; one without a time has its report's."""
        own = [reading(_timed(finding, report), report.title) for report in self.reports for finding in report.findings]
        return (*own, *(reading(_timed(finding, self.reports[0])) for part in self.measured for finding in part.findings))

    @cached_property
    def present(self) -> dict[str, list[Reading]]:
        """Comparable results of the reports by analyte, latest first."""
        return by_analyte(self.readings)

    @cached_property
    def earlier(self) -> dict[str, list[Reading]]:
        """Comparable results of the record by analyte, latest first."""
        return by_analyte(reading(finding, recorded=True) for finding in self.record.results)

    @cached_property
    def abnormal(self) -> tuple[tuple[Reading, Abnormal], ...]:
        """Every result of the reports that is outside its limits."""
        judged = ((one, self.abnormality(one)) for one in self.readings)
        return tuple((one, found) for one, found in judged if found is not None)

    def abnormality(self, one: Reading) -> Abnormal | None:
        """How a result of the reports or the record is outside its limits for this patient; None where it is not."""
        key = id(one.finding)
        if key not in self._judged:
            self._judged[key] = abnormality(one, self.age, self.sex)
        return self._judged[key]

    @cached_property
    def statements(self) -> tuple[Said, ...]:
        """The words of the reports that rules search: the first `MOST_STATEMENTS`, each text of a place once."""
        return self._all_statements[:MOST_STATEMENTS]

    @property
    def unsearched(self) -> int:
        """How many statements were not searched."""
        return len(self._all_statements) - len(self.statements)

    @cached_property
    def _all_statements(self) -> tuple[Said, ...]:
        """The words of the reports. A result in words stands with its name, so that "HI" of a glucose meter can be told from a greeting."""
        said = []
        for report in self.reports:
            said += [Said(text, place_of(report), True) for text in (*report.comments, report.title, report.device) if text]
            for finding in report.findings:
                where = place(finding.source)
                if finding.value is None and finding.status != "cancelled":
                    said.append(Said(_named(finding, report.title), where, False))
                said += [Said(text, where, True) for text in (*finding.comments, finding.method) if text]
        said += [
            Said(finding.text, place(finding.source), False) for part in self.measured for finding in part.findings if finding.value is None
        ]
        return tuple(dict.fromkeys(said))

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of the reports."""
        return frozenset(report.kind for report in self.reports)

    @cached_property
    def age(self) -> float | None:
        """Age in years on the day of the report, by the record, else by the report."""
        known = self.record.age_on(self.day)
        return known if known is not None else PatientRecord(person=self.reports[0].patient).age_on(self.day) if self.reports else None

    @cached_property
    def sex(self) -> Sex:
        """Sex by the record, else by the report."""
        told = (self.record.person.sex, *(report.patient.sex for report in self.reports))
        return next((sex for sex in told if sex != "unknown"), "unknown")

    @cached_property
    def bmi(self) -> float | None:
        """Body mass index, of height and weight on record or of a reported value."""
        found = self.latest("bmi")
        if found is not None:
            return found.value
        height = self.record.height_cm or (tall.value if (tall := self.latest("height")) else None)
        weight = self.record.weight_kg or (heavy.value if (heavy := self.latest("weight")) else None)
        return round(weight / (height / 100) ** 2, 1) if height and weight else None

    @cached_property
    def pregnant(self) -> bool | None:
        """Whether the patient is pregnant; never where sex or age tell that she is not."""
        if self.record.pregnant is not None:
            return self.record.pregnant
        if self.record.weeks_pregnant is not None:
            return True
        if any(spoken("pregnancy", fact.text).mentioned for fact in self.record.facts()):
            return True
        return False if self.sex == "male" or (self.age is not None and not 10 <= self.age <= 55) else None

    @cached_property
    def medicines(self) -> tuple[Medicine, ...] | None:
        """Medicines that are taken on the day of the report; None where none are on record."""
        listed = self.record.medicines
        return None if listed is None else tuple(one for one in listed if one.is_current(self.day))

    @cached_property
    def unknown_medicines(self) -> tuple[Medicine, ...]:
        """Current medicines whose name bedside does not know; nothing is checked for them."""
        return tuple(one for one in self.medicines or () if _resolved(one.name) is None)

    @cached_property
    def interactions(self) -> tuple[tuple[Interaction, tuple[Medicine, ...]], ...]:
        """Interactions among the substances of the current medicines, by the safety core, with the medicines as they are recorded."""
        holders: dict[str, Medicine] = {}
        for one in sorted(self.medicines or (), key=lambda one: (one.text, one.source)):
            found = _resolved(one.name)
            for substance in sorted(found.generics or found.substances) if found else ():
                holders.setdefault(substance, one)
        return tuple(
            (reason, tuple(dict.fromkeys(holders[name] for name in found.medicines)))
            for found in check_list(sorted(holders))
            for reason in found.interaction.rules
        )

    @cached_property
    def cautions(self) -> tuple[tuple[Caution, Medicine], ...]:
        """Checks of each current medicine against the patient, by the safety core; only those that the facts show to apply."""
        kidney = self.latest("egfr")
        facts = PatientFacts(
            age_years=self.age,
            pregnant=self.pregnant,
            weeks_pregnant=self.record.weeks_pregnant,
            breastfeeding=self.record.breastfeeding,
            egfr=kidney.value if kidney else None,
            allergies=self.record.allergies or (),
            conditions=tuple(fact.text for fact in self.record.conditions or ()),
        )
        known = [one for one in self.medicines or () if _resolved(one.name)]
        return tuple((note, one) for one in known for note in cross_check(one.name, facts) if note.applies)

    def latest(self, analyte: str) -> Reading | None:
        """The latest result of an analyte, of the reports, else of the record."""
        listed = self.present.get(analyte) or self.earlier.get(analyte)
        return listed[0] if listed else None

    def taking(self, names: tuple[str, ...]) -> list[Medicine]:
        """Current medicines of any of these classes or generics."""
        wanted = _expanded(names)
        return [one for one in self.medicines or () if (found := _resolved(one.name)) and found.substances & wanted]

    def knows(self, kind: FactKind) -> bool:
        """Whether the record says anything of that kind, so that what it does not mention is not there."""
        record = self.record
        lists = {
            "condition": record.conditions, "symptom": record.symptoms, "event": record.events, "device": record.devices,
            "habit": record.habits, "named": record.medicines,
        }  # fmt: skip
        return lists.get(kind) is not None

    def told(self, kind: FactKind, term: str, within_days: int | None) -> tuple[list[Reason], bool]:
        """Where the record (for `specimen` and `recording` the report too) mentions a term, and whether it denies it."""
        reasons: list[Reason] = []
        denied = False
        for text, source, day in self._texts(kind):
            heard: Spoken = spoken(term, text)
            denied = denied or heard.denied
            old = within_days is not None and day is not None and self.day is not None and (self.day - day).days > within_days
            if heard.mentioned and not old:
                reasons.append(Reason("fact", text, source))
        return reasons, denied

    def _is_new(self, fact: RecordFact) -> bool:
        """Whether a condition was recorded in the last days, so that it tells of symptoms now and not of the past."""
        return fact.day is not None and self.day is not None and 0 <= (self.day - fact.day).days <= _NEW_DAYS

    def _texts(self, kind: FactKind) -> list[tuple[str, str, date | None]]:
        if kind == "named":
            return [(one.text, one.source, None) for one in self.medicines or ()]
        facts: list[RecordFact] = [fact for fact in self.record.facts() if fact.kind in _SEARCHED.get(kind, _TOLD)]
        if kind == "symptom":
            facts = [fact for fact in facts if fact.kind != "condition" or self._is_new(fact)]
        found = [(fact.text, fact.source, fact.day) for fact in facts]
        told = (
            self.statements if kind in _SEARCHED else (said for said in self.statements if said.is_comment and _ASKED_WITH.match(said.text))
        )
        return found + [(said.text, said.source, None) for said in told]


def place_of(report: DiagnosticReport) -> str:
    """Where a whole report stands: the file of its first finding, else its name."""
    first = next((finding.source.file for finding in report.findings), "")
    return first or next((problem.source.file for problem in report.problems), "") or report.id or "the report"


def _timed(finding: Finding, report: DiagnosticReport) -> Finding:
    return finding if finding.time or not report.time else finding.model_copy(update={"time": report.time})


def _named(finding: Finding, title: str) -> str:
    """A statement with its name in front, unless it says its name itself."""
    label = reading(finding, title).label
    text = finding.text or finding.written_value
    return text if not label or label.lower() in text.lower() else f"{label}: {text}"


@lru_cache(maxsize=4096)
def _resolved(name: str) -> Resolved | None:
    return resolve(name)


@lru_cache(maxsize=1024)
def _expanded(names: tuple[str, ...]) -> frozenset[str]:
    return expand(names)
