"""The patient's record, as far as it bears on a report: from a FHIR bundle or a small YAML file.

What a record does not mention is not known (None); an empty list says that there is none. `check_identity` compares a report with the
record before anything of the two is put together.
"""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from bedside.errors import SourceError
from bedside.reports.model import Finding, Person, Problem

LARGEST = 20 * 1024 * 1024
"""Bytes of a record; a larger file is refused."""

RecordKind = Literal["condition", "symptom", "event", "device", "habit", "indication", "specimen", "recording", "note"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordFact(_Frozen):
    """Something of the record in words: `text` verbatim, the day it is of, and where it stands."""

    kind: RecordKind
    text: str
    day: date | None = None
    source: str = ""


class Medicine(_Frozen):
    """A medicine that the patient takes.

    Attributes:
        text: as recorded, with its dose.
        name: the part that names it.
        start, stop: first and last day.
        days_ago: how long before the report it was started, where the record says only that; 0 for "new".
        source: where it stands.
    """

    text: str
    name: str
    start: date | None = None
    stop: date | None = None
    days_ago: int | None = None
    source: str = ""

    def is_current(self, day: date | None) -> bool:
        """Whether it was being taken on `day`."""
        return self.stop is None or (day is not None and self.stop >= day)

    def days_before(self, day: date | None) -> int | None:
        """Days from its start to `day`; None where that is not known."""
        if self.start is not None and day is not None:
            return (day - self.start).days
        return self.days_ago


class PatientRecord(_Frozen):
    """What is known of a patient; None: not on record, an empty tuple: known to be none.

    Attributes:
        person: identity.
        age_years: where no birth date is known; else it follows from that.
        pregnant, weeks_pregnant, breastfeeding: on the day of the report.
        height_cm, weight_kg: as recorded last.
        conditions, symptoms, events, devices, habits: each None or what is recorded; symptoms are those now.
        medicines: None or the list, stopped ones included.
        allergies: as recorded.
        results: earlier results.
        notes: other facts in words (test indication, specimen and technician comments).
        problems: what could not be read, or was left out, and why.
        file: name of the file it came from.
    """

    person: Person = Person()
    age_years: float | None = None
    pregnant: bool | None = None
    weeks_pregnant: int | None = None
    breastfeeding: bool | None = None
    height_cm: float | None = Field(default=None, gt=20, lt=280)
    weight_kg: float | None = Field(default=None, gt=0.2, lt=500)
    conditions: tuple[RecordFact, ...] | None = None
    symptoms: tuple[RecordFact, ...] | None = None
    events: tuple[RecordFact, ...] | None = None
    devices: tuple[RecordFact, ...] | None = None
    habits: tuple[RecordFact, ...] | None = None
    medicines: tuple[Medicine, ...] | None = None
    allergies: tuple[str, ...] | None = None
    results: tuple[Finding, ...] = ()
    notes: tuple[RecordFact, ...] = ()
    problems: tuple[Problem, ...] = ()
    file: str = ""

    def age_on(self, day: date | None) -> float | None:
        """Age in years on `day`, whole years after the first two; None where it is not known."""
        born = self.person.birth_date
        if born is None or day is None or day < born:
            return self.age_years
        years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
        return float(years) if years >= 2 else (day - born).days / 365.25

    def facts(self) -> tuple[RecordFact, ...]:
        """Everything of the record that is in words."""
        return tuple(
            fact for part in (self.conditions, self.symptoms, self.events, self.devices, self.habits, self.notes) for fact in part or ()
        )


class IdentityCheck(_Frozen):
    """What report and record say of whom they are about: what agrees, and what differs though the person can be the same."""

    agrees: tuple[str, ...]
    warnings: tuple[str, ...]


def check_identity(report: Person, record: Person) -> IdentityCheck:
    """Compare whom a report and a record are about.

    An IHI or a birth date that differs refuses. A name, sex or other number that differs refuses unless the IHI, or given name and birth
    date, agree: people marry, and laboratories number patients themselves. A Medicare number is shared by a family and never confirms, and the family
    name and birth date alone do not tell twins apart.

    Raises:
        SourceError: they are about different people.
    """
    same = {key for key, value in report.identifiers.items() if _number(record.identifiers.get(key, "")) == _number(value)}
    other = set(report.identifiers.keys() & record.identifiers.keys()) - same
    agrees, differs = [f"{key} number" for key in sorted(same)], [f"{key} number" for key in sorted(other)]
    for label, one, two in (
        ("birth date", report.birth_date, record.birth_date),
        ("family name", _letters(report.family), _letters(record.family)),
        ("given name", _letters(report.given)[:3], _letters(record.given)[:3]),
        ("sex", report.sex.replace("unknown", ""), record.sex.replace("unknown", "")),
    ):
        if one and two:
            (agrees if one == two else differs).append(f"{label} ({one})" if one == two else f"{label} (report {one}, record {two})")
    _refuse(differs, agrees)
    warnings = [f"Report and record differ in {what}; the rest agrees" for what in differs]
    if not agrees:
        warnings.append("Nothing identifies both report and record: check that they are of the same patient")
    return IdentityCheck(agrees=tuple(agrees), warnings=tuple(warnings))


def _refuse(differs: list[str], agrees: list[str]) -> None:
    starts = {what.partition(" (")[0] for what in agrees}
    sure = "ihi number" in starts or {"birth date", "given name"} <= starts
    grave = [what for what in differs if what.startswith(("ihi", "birth date"))]
    if grave or (differs and not sure):
        raise SourceError(
            f"report and patient record are of different people: {'; '.join(differs)}",
            "Give the record of the patient whom the report is about, or correct the identity at its source",
        )


def _number(value: str) -> str:
    digits = re.sub(r"\W", "", value).upper()
    return digits[:9] if len(digits) in (10, 11) and digits[:1] in "23456" else digits


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def read_patient(path: Path) -> PatientRecord:
    """A patient's record from a file: a FHIR R4 bundle, a FHIR Patient (JSON), or a small YAML (see docs/how-to/reports.md).

    Raises:
        SourceError: no such file, too large, or not of either form; all faults are named.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise SourceError(f"patient record {path} has more than {LARGEST // 1024 // 1024} MB", "Give the record of one patient")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceError(f"patient record {path} cannot be read: {error.strerror}", "Check the path") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"patient record {path} is not UTF-8 text (byte {error.start})", "Save it as UTF-8") from error
    if text.lstrip().startswith("{") and path.suffix.lower() not in (".yaml", ".yml"):
        from bedside.reports.patient_fhir import record_of_bundle

        try:
            return record_of_bundle(json.loads(text), path.name)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"patient record {path} is no FHIR JSON: {str(error)[:200]}", "Give a FHIR Bundle or Patient") from error
    from bedside.reports.patient_yaml import record_of_yaml

    return record_of_yaml(text, path.name)
