"""Notes as FHIR R4: for each a preliminary Observation, and a Provenance that names the rule, its source and the facts behind it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from bedside import __version__
from bedside.reports.assistant import DISCLAIMER, Assessment
from bedside.reports.rules import Note

_RULES = "urn:bedside:report-rules"
_TAGS = [
    {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "AIAST", "display": "Artificial Intelligence asserted"}
]
_AGENT = "bedside report assistant"


def bundle(found: Assessment, *, recorded: datetime | None = None) -> dict[str, Any]:
    """A FHIR R4 collection Bundle with an Observation and a Provenance for each note, as plain data.

    Args:
        recorded: when the notes were made; the time of the report where none is given, so that the same input gives the same bytes.
    """
    day = found.context.day
    moment = recorded or (datetime(day.year, day.month, day.day, tzinfo=UTC) if day else datetime(1970, 1, 1, tzinfo=UTC))
    patient = found.context.reports[0].patient
    name = " ".join(filter(None, (patient.given, patient.family)))
    subject = {"display": name} if name else None
    entries = []
    for number, note in enumerate((*found.quality, *found.notes)):
        key = f"{found.context.reports[0].id}|{number}|{note.rule}|{note.text}"
        entries += _entries(note, key, moment, subject)
    return {"resourceType": "Bundle", "type": "collection", "timestamp": moment.isoformat(), "entry": entries}


def _entries(note: Note, key: str, moment: datetime, subject: dict[str, str] | None) -> list[dict[str, Any]]:
    observation_url, provenance_url = (f"urn:uuid:{uuid5(NAMESPACE_URL, f'{kind}|{key}')}" for kind in ("observation", "provenance"))
    observation = {
        "resourceType": "Observation",
        "meta": {"tag": _TAGS},
        "status": "preliminary",
        "code": {"coding": [{"system": _RULES, "code": _code(note.rule)}], "text": "Context note on a diagnostic report"},
        "effectiveDateTime": moment.isoformat(),
        "valueString": note.text,
        "interpretation": [{"text": note.urgency}],
        "note": [{"text": f"{reason.text} [{reason.source}]"} for reason in note.because] + [{"text": DISCLAIMER}],
        **({"subject": subject} if subject else {}),
    }
    provenance = {
        "resourceType": "Provenance",
        "target": [{"reference": observation_url}],
        "recorded": moment.isoformat(),
        "policy": [f"{_RULES}#{_code(note.rule)}"],
        "agent": [{"who": {"display": f"{_AGENT} {__version__}"}}],
        "entity": [{"role": "source", "what": {"display": source}} for source in _sources(note)],
    }
    return [{"fullUrl": observation_url, "resource": observation}, {"fullUrl": provenance_url, "resource": provenance}]


def _sources(note: Note) -> list[str]:
    return list(dict.fromkeys([note.source, *(reason.source for reason in note.because if reason.source)]))


def _code(rule: str) -> str:
    """A rule's id as a FHIR code, which holds no blanks."""
    return re.sub(r"\s+", "-", rule)
