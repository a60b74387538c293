"""A patient's record from a FHIR R4 bundle (AU Core): only what bears on reading a report is taken, what is left out is counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from bedside.errors import SourceError
from bedside.reports.model import Finding, Interval, Person, Problem, Span
from bedside.reports.patient import Medicine, PatientRecord, RecordFact, RecordKind
from bedside.reports.units import unit_of

_ENDED = {"inactive", "resolved", "remission", "stopped", "completed", "not-taken", "entered-in-error", "cancelled", "on-hold"}
_WRONG = {"refuted", "entered-in-error", "cancelled", "not-done"}
_IDENTIFIERS = {"ihi": "ihi", "medicare": "medicare", "dva": "dva", "mrn": "mrn"}
_SMOKING = {"72166-2", "1747861000168109"}
_PREGNANT = {"82810-3", "11449-6"}
_WEEKS = {"18185-9", "11884-4", "49051-6", "11885-1"}
_NONE_KNOWN = re.compile(r"\b(?:no known|no current|nil known|none known|no history of|no active)\b", re.IGNORECASE)
_TAKEN = {"Patient", "Condition", "MedicationStatement", "MedicationRequest", "AllergyIntolerance", "Observation", "Procedure", "Device",
          "DeviceUseStatement", "Medication", "Flag"}  # fmt: skip


def record_of_bundle(content: dict[str, Any], file: str) -> PatientRecord:
    """A record from a FHIR Bundle, or from a Patient alone.

    Raises:
        SourceError: no patient in it, or more than one.
    """
    entries = _resources(content)
    patients = [resource for _, resource in entries if resource.get("resourceType") == "Patient"]
    if len(patients) != 1:
        raise SourceError(f"patient record {file} holds {len(patients)} Patient resources", "Give the bundle of one patient")
    by = {kind: [(place, resource) for place, resource in entries if resource.get("resourceType") == kind] for kind in _TAKEN}
    medicines = {f"Medication/{resource.get('id')}": _said(resource.get("code")) for _, resource in by["Medication"]}
    observed = _Observed(by["Observation"], file)
    left = Counter(str(resource.get("resourceType")) for _, resource in entries if resource.get("resourceType") not in _TAKEN)
    listed = by["MedicationStatement"] + by["MedicationRequest"]
    return PatientRecord(
        person=_person(patients[0]),
        pregnant=observed.pregnant,
        weeks_pregnant=observed.weeks,
        height_cm=observed.latest("8302-2"),
        weight_kg=observed.latest("29463-7"),
        conditions=_facts(by["Condition"], "condition", file),
        events=_facts(by["Procedure"], "event", file),
        devices=_facts(by["Device"] + by["DeviceUseStatement"], "device", file),
        habits=tuple(observed.habits) or None,
        medicines=_medicines(listed, medicines, file) if listed else None,
        allergies=_allergies(by["AllergyIntolerance"]),
        results=tuple(observed.results),
        notes=_facts(by["Flag"], "note", file) or (),
        problems=tuple(
            Problem(reason="not_read", detail=f"{count} {kind} not read", source=Span(file=file)) for kind, count in sorted(left.items())
        ),
        file=file,
    )


def _resources(content: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    if content.get("resourceType") != "Bundle":
        return [("/", content)]
    entries = content.get("entry")
    if not isinstance(entries, list):
        return []
    found = [(f"/entry/{n}/resource", entry.get("resource")) for n, entry in enumerate(entries) if isinstance(entry, dict)]
    return [(place, resource) for place, resource in found if isinstance(resource, dict)]


def _said(concept: Any) -> str:
    """The words of a CodeableConcept: its text, and its displays where they say more."""
    if not isinstance(concept, dict):
        return ""
    shown = [coding.get("display") for coding in _dicts(concept.get("coding"))]
    words = [str(word) for word in (concept.get("text"), *shown) if word]
    return "; ".join(word for n, word in enumerate(words) if not any(word.lower() in other.lower() for other in words[:n]))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _codes(concept: Any) -> set[str]:
    return {str(coding.get("code")) for coding in _dicts(concept.get("coding"))} if isinstance(concept, dict) else set()


def _state(resource: dict[str, Any]) -> set[str]:
    said: set[str] = {str(resource.get("status", ""))}
    return said.union(*(_codes(resource.get(key)) for key in ("clinicalStatus", "verificationStatus")))


def _when(resource: dict[str, Any], *keys: str) -> datetime | None:
    for key in keys:
        value = resource.get(key)
        value = value.get("start") if isinstance(value, dict) else value
        if isinstance(value, str):
            text = f"{value}-01-01" if len(value) == 4 else f"{value}-01" if len(value) == 7 else value
            try:
                return datetime.fromisoformat(text)
            except ValueError:
                continue
    return None


def _day(resource: dict[str, Any], *keys: str) -> date | None:
    found = _when(resource, *keys)
    return found.date() if found else None


def _person(patient: dict[str, Any]) -> Person:
    name = next(iter(_dicts(patient.get("name"))), {})
    numbers: dict[str, str] = {}
    for identifier in _dicts(patient.get("identifier")):
        told = f"{identifier.get('system', '')} {_said(identifier.get('type'))} {' '.join(_codes(identifier.get('type')))}".lower()
        kind = next((kind for word, kind in _IDENTIFIERS.items() if word in told), None)
        if kind and identifier.get("value"):
            numbers.setdefault(kind, re.sub(r"\s", "", str(identifier["value"])))
    sex = patient.get("gender")
    given = name.get("given")
    return Person(
        identifiers=numbers,
        family=str(name.get("family", "")),
        given=" ".join(map(str, given)) if isinstance(given, list) else "",
        birth_date=_day(patient, "birthDate"),
        sex=sex if sex in ("female", "male", "other") else "unknown",
    )


def _facts(entries: Iterable[tuple[str, dict[str, Any]]], kind: RecordKind, file: str) -> tuple[RecordFact, ...] | None:
    """What stands in resources of one type; None where there is none. One that says "no known" makes the list known to be empty."""
    facts = []
    found = list(entries)
    for place, resource in found:
        text = _said(resource.get("code") or resource.get("type")) or _said(next(iter(_dicts(resource.get("deviceName"))), {}).get("name"))
        notes = "; ".join(str(note.get("text", "")) for note in _dicts(resource.get("note")))
        stage = "; ".join(_said(stage.get("summary")) for stage in _dicts(resource.get("stage")))
        if text and not _NONE_KNOWN.search(text) and not _state(resource) & (_ENDED if kind == "condition" else _WRONG):
            day = _day(resource, "onsetDateTime", "onsetPeriod", "performedDateTime", "performedPeriod", "recordedDate")
            words = "; ".join(filter(None, (text, stage, notes)))
            facts.append(RecordFact(kind=kind, text=words, day=day, source=f"{file} {place}"))
    return tuple(facts) if found else None


def _medicines(entries: list[tuple[str, dict[str, Any]]], named: dict[str, str], file: str) -> tuple[Medicine, ...]:
    listed = []
    for place, resource in entries:
        contained = {f"#{part.get('id')}": _said(part.get("code")) for part in _dicts(resource.get("contained"))}
        reference = resource.get("medicationReference")
        pointed = str(reference.get("reference", "")) if isinstance(reference, dict) else ""
        name = _said(resource.get("medicationCodeableConcept")) or contained.get(pointed) or named.get(pointed, "")
        dosage = _dicts(resource.get("dosage")) or _dicts(resource.get("dosageInstruction"))
        if name and not _state(resource) & (_ENDED - {"completed"} if resource.get("resourceType") == "MedicationRequest" else _ENDED):
            text = " ".join(filter(None, (name, *(str(line.get("text", "")) for line in dosage))))
            start = _day(resource, "effectivePeriod", "effectiveDateTime", "authoredOn")
            listed.append(Medicine(text=text, name=name.partition(";")[0], start=start, source=f"{file} {place}"))
    return tuple(listed)


def _allergies(entries: list[tuple[str, dict[str, Any]]]) -> tuple[str, ...] | None:
    said = [_said(resource.get("code")) for _, resource in entries if not _state(resource) & (_ENDED | _WRONG)]
    return tuple(text for text in said if text and not _NONE_KNOWN.search(text)) if entries else None


class _Observed:
    """Observations: results, and what they say of pregnancy and habits."""

    def __init__(self, entries: list[tuple[str, dict[str, Any]]], file: str) -> None:
        self.results: list[Finding] = []
        self.habits: list[RecordFact] = []
        self.pregnant: bool | None = None
        self.weeks: int | None = None
        for place, resource in entries:
            if not _state(resource) & _WRONG:
                self._take(resource, f"{file} {place}", Span(file=file, path=place))

    def _take(self, resource: dict[str, Any], source: str, span: Span) -> None:
        codes, answer = _codes(resource.get("code")), _said(resource.get("valueCodeableConcept"))
        day = _when(resource, "effectiveDateTime", "effectivePeriod", "issued")
        if codes & _SMOKING and answer:
            self.habits.append(RecordFact(kind="habit", text=answer, day=day.date() if day else None, source=source))
        elif codes & _PREGNANT and answer:
            self.pregnant = not re.search(r"\bnot\b|negative|\bno\b", answer, re.IGNORECASE)
        for number, part in enumerate((resource, *_dicts(resource.get("component")))):
            place = span if number == 0 else span.model_copy(update={"path": f"{span.path}/component/{number - 1}"})
            if finding := _result(part, day, place):
                self.results.append(finding)
                if finding.code in _WEEKS and finding.value is not None:
                    self.pregnant, self.weeks = True, int(finding.value)

    def latest(self, code: str) -> float | None:
        """The value with that code that was observed last, in the unit of the record's field."""
        found = [result for result in self.results if result.code == code and result.value is not None]
        return max(found, key=lambda result: str(result.time or "")).value if found else None


def _result(part: dict[str, Any], day: datetime | None, span: Span) -> Finding | None:
    quantity, concept = part.get("valueQuantity"), part.get("code")
    if not isinstance(quantity, dict) or not isinstance(quantity.get("value"), (int, float)):
        return None
    loinc = next((str(coding.get("code")) for coding in _dicts((concept or {}).get("coding")) if "loinc" in str(coding.get("system"))), "")
    unit = str(quantity.get("code") or quantity.get("unit") or "")
    limits = next(iter(_dicts(part.get("referenceRange"))), {})
    low, high = (limits.get(side, {}).get("value") if isinstance(limits.get(side), dict) else None for side in ("low", "high"))
    comparator = quantity.get("comparator")
    return Finding(
        name=_said(concept).partition(";")[0] or loinc,
        code=loinc,
        system="loinc" if loinc else "",
        text=f"{quantity['value']} {quantity.get('unit') or unit}".strip(),
        value=float(quantity["value"]),
        comparator=comparator if comparator in ("<", ">", "<=", ">=") else "",
        unit=unit_of(unit) or unit,
        written_value=str(quantity["value"]),
        written_unit=str(quantity.get("unit") or unit),
        range=Interval(low=low, high=high, text=str(limits.get("text", ""))) if limits else None,
        time=day,
        source=span,
    )
