"""A patient's record written by hand in YAML; docs/how-to/reports.md lists its keys."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

import yaml
from pydantic import ValidationError

from bedside.errors import SourceError
from bedside.reports.model import Finding, Problem, Span
from bedside.reports.patient import Medicine, PatientRecord, RecordFact, RecordKind
from bedside.reports.units import unit_of

_ALIASES = {
    "dob": "birth_date", "date_of_birth": "birth_date", "born": "birth_date", "gender": "sex", "age": "age_years", "medications": "medicines",
    "meds": "medicines", "problems": "conditions", "diagnoses": "conditions", "history": "conditions", "recent": "events",
    "procedures": "events", "recent_events": "events", "earlier_results": "results", "previous_results": "results", "prior_results": "results",
    "labs": "results", "height": "height_cm", "weight": "weight_kg", "weeks": "weeks_pregnant", "gestation_weeks": "weeks_pregnant",
    "implants": "devices", "symptoms_now": "symptoms", "note": "notes", "comments": "notes", "specimen_comments": "specimen",
    "technician_notes": "recording", "quality": "recording",
}  # fmt: skip
_LISTS: dict[str, RecordKind] = {
    "conditions": "condition", "symptoms": "symptom", "events": "event", "devices": "device", "habits": "habit", "notes": "note",
    "specimen": "specimen", "recording": "recording", "indication": "indication",
}  # fmt: skip
_NOTES = ("notes", "specimen", "recording", "indication")
_SAID = {"smoking": "{} smoker", "alcohol": "alcohol: {}", "skin": "{} skin", "altitude_m": "altitude {} m", "exercise": "exercise: {}"}
"""Keys with one value, and how that value reads as a habit."""
_NONE = {"none", "nil", "no", "never", "false", "non", "", "0"}
_KNOWN = {*PatientRecord.model_fields, *_SAID, "lives_alone"} - {"notes", "problems", "file", "person"}
_PERSON = ("name", "birth_date", "sex", "identifiers")
_SEXES = {"f": "female", "m": "male", "woman": "female", "man": "male"}
_STARTED = re.compile(
    r"[\s,(;-]*\b(?P<new>new(?:ly)?\b[^,;)]*)?(?:start(?:ed)?|since|from)?\s*"
    r"(?:(?P<day>\d{4}-\d\d-\d\d)|(?P<count>\d{1,3})\s*(?P<unit>d|day|days|w|wk|wks|week|weeks|month|months|mo)\b(?:\s*ago)?)?\)?\s*$",
    re.IGNORECASE,
)
_START = ("start", "started", "start_date", "since", "from", "date")
_STOP = ("stop", "stopped", "stop_date", "end", "until")
_RESULT = re.compile(
    r"\s*(?P<name>.*?[A-Za-z)])[\s:=]+(?P<value>[<>]?=?\s*-?\d+(?:\.\d+)?)\s*(?P<unit>[^\s,(]*)[\s,(]*(?:on\s+)?(?P<date>\d{4}-\d\d-\d\d)?\)?\s*"
)
"""A result in one line: `Potassium 4.4 mmol/L 2026-05-01`."""
_DAYS = {"d": 1, "w": 7, "m": 30}
_DOSE = re.compile(r"\s+(?=\d)|[,;(]|\s+(?:mg|mcg|units?|daily|bd|tds|nocte|mane|prn|weekly|started|since|new)\b", re.IGNORECASE)


def record_of_yaml(text: str, file: str) -> PatientRecord:
    """A record from the text of a YAML file.

    A key that bedside does not know is kept as a note, and named among the record's problems.

    Raises:
        SourceError: not YAML, or a value of another kind; all faults are named.
    """
    content = _yaml(text, file)
    if list(content) == ["patient"] and isinstance(content["patient"], dict):
        content = content["patient"]
    content = {_ALIASES.get(str(key).lower(), str(key).lower()): value for key, value in content.items()}
    try:
        return _record(content, file)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False)[:10])
        raise SourceError(f"patient record {file} has faults: {faults}", "Mend them; docs/how-to/reports.md lists the keys") from error


def _yaml(text: str, file: str) -> dict[str, Any]:
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
            raise SourceError(f"patient record {file} uses YAML aliases", "Write the values out")
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SourceError(f"patient record {file} is no YAML: {' '.join(str(error).split())[:200]}", "Mend that line") from error
    if not isinstance(content, dict):
        raise SourceError(f"patient record {file} holds {type(content).__name__}, not keys and values", "Write 'sex: female' and the like")
    return content


def _record(content: dict[str, Any], file: str) -> PatientRecord:
    person = _person({key: content.pop(key) for key in _PERSON if key in content})
    lists = {key: _facts(content.pop(key), kind, key, file) for key, kind in _LISTS.items() if key in content}
    strange = [str(key) for key in content if key not in _KNOWN]
    problems = tuple(
        Problem(
            reason="unknown_key", detail=f"the key '{key}' is not one that bedside knows; kept as a note", source=Span(file=file, path=key)
        )
        for key in strange
    )
    kept = tuple(RecordFact(kind="note", text=f"{key}: {_text(content.pop(key))}"[:2000], source=f"{file} {key}") for key in strange)
    notes = (*(fact for key in _NOTES for fact in lists.pop(key, None) or ()), *kept)
    habits = _habits(content, file)
    if habits or "habits" in lists:
        lists["habits"] = (*(lists.get("habits") or ()), *habits)
    medicines, results, allergies = (content.pop(key, None) for key in ("medicines", "results", "allergies"))
    pregnant = content.get("pregnant")
    if isinstance(pregnant, dict):
        content |= {"pregnant": True, "weeks_pregnant": pregnant.get("weeks")}
    elif content.get("weeks_pregnant") is not None:
        content["pregnant"] = True
    return PatientRecord.model_validate(
        {
            **content,
            **lists,
            "person": person,
            "medicines": None if medicines is None else tuple(_medicine(entry, n, file) for n, entry in enumerate(_listed(medicines))),
            "allergies": None if allergies is None else tuple(map(_text, _listed(allergies))),
            "results": tuple(_result(entry, n, file) for n, entry in enumerate(_listed(results))),
            "notes": notes,
            "problems": problems,
            "file": file,
        }
    )


def _listed(value: Any) -> list[Any]:
    """A list as it stands; a single entry as a list of it; "none" and nothing as an empty list."""
    if isinstance(value, list):
        return [entry for entry in value if entry is not None]
    return [] if value is None or value is False or str(value).strip().lower() in _NONE else [value]


def _text(entry: Any) -> str:
    if isinstance(entry, dict):
        return " ".join(str(entry[key]) for key in ("name", "text", "stage", "comment") if entry.get(key)) or str(entry)
    return str(entry)


def _facts(value: Any, kind: RecordKind, key: str, file: str) -> tuple[RecordFact, ...] | None:
    """Entries of a list of facts; None where the key stands without a value. A mapping `chest pain: false` is a denial."""
    if value is None:
        return None
    if isinstance(value, dict) and not value.keys() & {"name", "text"}:
        value = [str(name) if told is True else f"no {name}" if told is False else f"{name}: {told}" for name, told in value.items()]
    return tuple(
        RecordFact(kind=kind, text=_text(entry), day=_day(entry), source=f"{file} {key}[{number}]")
        for number, entry in enumerate(_listed(value))
    )


def _day(entry: Any) -> date | None:
    if not isinstance(entry, dict):
        return None
    value = next((entry[key] for key in ("date", "since", "onset", "day") if entry.get(key)), None)
    if isinstance(value, datetime):
        return value.date()
    try:
        return value if isinstance(value, date) or value is None else date.fromisoformat(str(value))
    except ValueError:
        return None


def _habits(content: dict[str, Any], file: str) -> tuple[RecordFact, ...]:
    said = {key: str(content.pop(key)) for key in tuple(_SAID) if key in content}
    facts = [(key, _SAID[key].format(value) if value.lower() not in _NONE else f"no {key}") for key, value in said.items()]
    alone = content.pop("lives_alone", None)
    if alone is not None:
        facts.append(("lives_alone", "lives alone" if alone else "lives with others"))
    return tuple(RecordFact(kind="habit", text=text, source=f"{file} {key}") for key, text in facts)


def _person(given: dict[str, Any]) -> dict[str, Any]:
    name = given.pop("name", None)
    if isinstance(name, str):
        parts = name.replace(",", " ").split()
        family, first = (parts[0], parts[1:]) if "," in name else (parts[-1:], parts[:-1])
        name = {"family": family if isinstance(family, str) else " ".join(family), "given": " ".join(first)}
    sex = str(given.pop("sex", "unknown")).lower()
    numbers = {str(kind).lower(): re.sub(r"\s", "", str(number)) for kind, number in (given.pop("identifiers", None) or {}).items()}
    return {**given, **(name or {}), "sex": _SEXES.get(sex, sex), "identifiers": numbers}


def _medicine(entry: Any, number: int, file: str) -> Medicine:
    """A line such as `ibuprofen 400 mg three times a day, started 2026-10-20` (or `new`, `started 4 days ago`), or a mapping of its parts."""
    source = f"{file} medicines[{number}]"
    if isinstance(entry, dict):
        known = {"name", "text", "dose", "started_days_ago", "new", *_START, *_STOP}
        if strange := {str(key) for key in entry} - known:
            raise SourceError(f"{source} has the keys {sorted(strange)}", f"Use {', '.join(sorted(known))}")
        ago = 0 if entry.get("new") else entry.get("started_days_ago")
        text = _joined(entry.get("name") or entry.get("text"), entry.get("dose"))
        return Medicine(
            text=text,
            name=str(entry.get("name") or _DOSE.split(text)[0]),
            start=_given(entry, _START),
            stop=_given(entry, _STOP),
            days_ago=ago,
            source=source,
        )
    text = str(entry)
    started = _STARTED.search(text)
    start = date.fromisoformat(started["day"]) if started and started["day"] else None
    ago = int(started["count"]) * _DAYS[started["unit"][0].lower()] if started and started["count"] else None
    if ago is None and re.search(r"\bnew\b|\bnewly\b|\bjust started\b", text, re.IGNORECASE):
        ago = 0
    bare = re.sub(r"^\s*new(?:ly started)?\s+", "", text, flags=re.IGNORECASE)
    return Medicine(text=text, name=_DOSE.split(bare)[0].strip() or text, start=start, days_ago=ago, source=source)


def _given(entry: dict[str, Any], keys: tuple[str, ...]) -> Any:
    value = next((entry[key] for key in keys if entry.get(key)), None)
    return value.date() if isinstance(value, datetime) else value


def _joined(*parts: Any) -> str:
    return " ".join(str(part) for part in parts if part)


def _result(entry: Any, number: int, file: str) -> Finding:
    source = f"{file} results[{number}]"
    if isinstance(entry, str) and (line := _RESULT.fullmatch(entry)):
        entry = line.groupdict()
    if not isinstance(entry, dict) or not {"name", "value"} <= entry.keys():
        raise SourceError(f"{source} is {str(entry)[:80]!r}", "Write it as {name: Potassium, value: 4.4, unit: mmol/L, date: 2026-05-01}")
    written = str(entry["value"]).strip()
    plain = re.fullmatch(r"(<=|>=|<|>)?\s*(-?\d+(?:\.\d+)?)", written)
    unit, day = str(entry.get("unit") or ""), _day(entry)
    return Finding.model_validate(
        {
            "name": str(entry["name"]),
            "code": str(entry.get("code") or ""),
            "text": _joined(written, unit),
            "value": float(plain[2]) if plain else None,
            "comparator": plain[1] or "" if plain else "",
            "unit": unit_of(unit) or unit,
            "written_value": written,
            "written_unit": unit,
            "time": None if day is None else datetime(day.year, day.month, day.day),
            "source": Span(file=file, path=f"results[{number}]"),
        }
    )
