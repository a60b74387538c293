"""What devices and laboratories reported, read from HL7 v2, FHIR JSON, CSV and plain text, each with its place in the file.

    HL7 v2     ORU^R01: each OBX with a numeric or textual value; a corrected result (OBX-11 `C`) supersedes the one before it
    FHIR R4    Observation (value or components) and DiagnosticReport (conclusion), alone, in a Bundle or one a line
    CSV        one result a row; the columns are those of `measures.yaml`
    text       sections under headings, and lines of readings or statements

HL7: https://www.hl7.org/implement/standards/ (v2.4 chapter 7); FHIR: https://hl7.org/fhir/R4/observation.html.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bedside.corpus.pairs.library import columns, reading_line
from bedside.corpus.sources.records import UNWRITABLE, BadRecord

Form = Literal["entry", "section"]
_CANCELLED = {"X", "D", "W", "cancelled", "entered-in-error"}
_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_VALUE = re.compile(rf"\s*[<>]?=?\s*({_NUMBER})\s*")
_INTERVAL = re.compile(
    rf"\s*(?P<low>{_NUMBER})\s*(?:-|–|to)\s*(?P<high>{_NUMBER})|\s*<=?\s*(?P<most>{_NUMBER})|\s*>=?\s*(?P<least>{_NUMBER})"
)
_EXPERT = {"impression", "conclusion", "interpretation", "diagnosis", "opinion"}
_SECTION = re.compile(r"^[ \t]*(?P<name>[A-Za-z][A-Za-z /]{2,40}?)[ \t]*:[ \t]*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing that was reported.

    Attributes:
        name: what was measured, or "" for a statement in words.
        code: LOINC code, or "".
        value: the number, or None.
        unit: as it was written.
        low, high: the interval that came with it.
        verbatim: the report's own words, for people.
        expert: the interpretation that the report itself holds, or "".
        form: a device's or laboratory's entry, or a section of a report.
        start, end: its place in the file's text, in characters.
    """

    name: str
    code: str
    value: float | None
    unit: str
    low: float | None
    high: float | None
    verbatim: str
    expert: str
    form: Form
    start: int
    end: int


def observed(path: Path) -> Iterator[Reading | BadRecord]:
    """All that a file reports, in its order; its suffix or first characters tell the format.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield BadRecord("bad_encoding", path.name, f"byte {error.start} is not UTF-8")
        return
    if bad := UNWRITABLE.search(text):
        yield BadRecord("bad_encoding", path.name, f"character {bad.start()} is U+{ord(bad.group()):04X}, which no text may hold")
    elif text.lstrip().startswith("MSH"):
        yield from _hl7(text, path.name)
    elif path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        yield from _fhir(text, path.name)
    elif path.suffix.lower() in (".csv", ".tsv"):
        yield from _csv(text, path.name)
    else:
        yield from _text(text, path.name)


# --- HL7 v2 -----------------------------------------------------------------------------------------------------------------------------

_SEGMENT = re.compile(r"[^\r\n]+")


def _hl7(text: str, name: str) -> Iterator[Reading | BadRecord]:
    import hl7

    messages: list[list[re.Match[str]]] = []
    for segment in _SEGMENT.finditer(text):
        if segment.group().startswith("MSH") or not messages:
            messages.append([])
        messages[-1].append(segment)
    for segments in messages:
        try:
            message = hl7.parse("\r".join(segment.group() for segment in segments) + "\r")  # type: ignore[no-untyped-call, unused-ignore]
            parsed = [[message.unescape(str(field)) for field in segment] for segment in message]
        except Exception as error:  # the parser raises whatever a broken message makes it stumble over
            yield BadRecord("bad_hl7", f"{name}:{segments[0].start()}", f"{type(error).__name__} in the message that begins here")
            continue
        yield from _results(parsed, segments, name)


def _results(parsed: list[list[str]], segments: list[re.Match[str]], name: str) -> Iterator[Reading | BadRecord]:
    results: list[Reading | BadRecord] = []
    places: dict[tuple[int, str, str], int] = {}
    order = 0
    for fields, segment in zip(parsed, segments, strict=False):
        order += fields[0] == "OBR"
        if fields[0] != "OBX":
            continue
        where = f"{name}:{segment.start()}"
        fields += [""] * (12 - len(fields))
        key = (order, fields[3], fields[4])
        if fields[11] == "C" and key in places:
            results[places[key]] = BadRecord("superseded", where, "this corrected result takes the place of one before it in the message")
        places[key] = len(results)
        results.append(BadRecord("cancelled", where, f"OBX-11 is {fields[11]!r}") if fields[11] in _CANCELLED else _obx(fields, segment))
    yield from results


def _obx(fields: list[str], segment: re.Match[str]) -> Reading:
    code, _, rest = fields[3].partition("^")
    title = rest.partition("^")[0] or code
    value, unit = fields[5].replace("^", " ").strip(), fields[6].partition("^")[0]
    interval = f" (interval {fields[7]})" if fields[7] else ""
    return _reading(title, code, value, unit, fields[7], f"{title} {value} {unit}".strip() + interval, segment.span())


# --- FHIR -------------------------------------------------------------------------------------------------------------------------------


class _Placed(json.JSONDecoder):
    """Decodes JSON and notes of each FHIR resource where it stands."""

    def __init__(self) -> None:
        super().__init__(parse_constant=_refused)
        self.resources: list[tuple[dict[str, Any], int, int]] = []
        self.parse_object = self._object
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def _object(self, text_and_place: tuple[str, int], *options: Any) -> tuple[dict[str, Any], int]:
        value, end = json.decoder.JSONObject(text_and_place, *options)  # type: ignore[attr-defined]
        if isinstance(value.get("resourceType"), str):
            self.resources.append((value, text_and_place[1] - 1, end))
        return value, end


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _fhir(text: str, name: str) -> Iterator[Reading | BadRecord]:
    lines = name.lower().endswith(("jsonl", "ndjson"))
    for match in re.finditer(r"[^\r\n]+" if lines else r"(?s)\A.+\Z", text):
        if not match.group().strip():
            continue
        decoder = _Placed()
        try:
            decoder.decode(match.group())
        except (ValueError, RecursionError) as error:
            yield BadRecord("bad_json", f"{name}:{match.start()}", str(error)[:120])
            continue
        for resource, start, end in decoder.resources:
            yield from _resource(resource, (match.start() + start, match.start() + end), name)


def _resource(resource: dict[str, Any], span: tuple[int, int], name: str) -> Iterator[Reading | BadRecord]:
    kind = resource["resourceType"]
    if kind not in ("Observation", "DiagnosticReport"):
        return
    where = f"{name}:{span[0]}"
    try:
        if resource.get("status") in _CANCELLED:
            yield BadRecord("cancelled", where, f"status is {resource['status']!r}")
        elif kind == "DiagnosticReport":
            if found := _report(resource, span):
                yield found
        else:
            yield from (_observation(part, resource, span) for part in resource.get("component") or [resource] if _has_value(part))
    except (AttributeError, TypeError, KeyError, IndexError, ValueError) as error:
        yield BadRecord("bad_fhir", where, f"{kind} is not laid out as FHIR R4 says ({type(error).__name__})")


def _has_value(part: dict[str, Any]) -> bool:
    return "valueQuantity" in part or "valueString" in part


def _observation(part: dict[str, Any], whole: dict[str, Any], span: tuple[int, int]) -> Reading:
    title, code = _concept(part.get("code") or whole["code"])
    quantity = part.get("valueQuantity") or {}
    value = str(quantity["value"]) if "value" in quantity else str(part.get("valueString", ""))
    unit = str(quantity.get("unit") or quantity.get("code") or "")
    limits = (part.get("referenceRange") or [{}])[0]
    low, high = (limits.get(end, {}).get("value") for end in ("low", "high"))
    interval = f"{low} - {high}" if None not in (low, high) else f"> {low}" if low is not None else f"< {high}" if high is not None else ""
    verbatim = f"{title} {quantity.get('comparator', '')}{value} {unit}".strip() + (f" (interval {interval})" if interval else "")
    return _reading(title, code, value, unit, interval, verbatim, span)


def _report(resource: dict[str, Any], span: tuple[int, int]) -> Reading | None:
    title, code = _concept(resource["code"])
    results = [str(result["display"]) for result in resource.get("result", ()) if "display" in result]
    conclusion = str(resource.get("conclusion") or "").strip()
    return Reading(title, code, None, "", None, None, "\n".join([title, *results]), conclusion, "section", *span) if conclusion else None


def _concept(concept: dict[str, Any]) -> tuple[str, str]:
    coding = next((c for c in concept.get("coding", ()) if c.get("system") == "http://loinc.org"), (concept.get("coding") or [{}])[0])
    return str(concept.get("text") or coding.get("display") or coding.get("code") or ""), str(coding.get("code") or "")


# --- CSV and text -----------------------------------------------------------------------------------------------------------------------


def _csv(text: str, name: str) -> Iterator[Reading | BadRecord]:
    places = [0]
    for line in io.StringIO(text, newline=""):
        places.append(places[-1] + len(line))
    header = text[: places[1] if len(places) > 1 else 0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    held: dict[str, int] = {}
    while True:
        first = rows.line_num
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRecord("bad_csv", f"{name}:{first + 1}", str(error))
            continue
        if not held:
            held = columns(cells)
            if "name" not in held or "value" not in held:
                yield BadRecord(
                    "missing_field",
                    f"{name}:1",
                    f"no column for the {'value' if 'name' in held else 'name'}; found {', '.join(cells)[:80]}",
                )
                return
        elif len(cells) <= max(held.values()):
            if cells:
                yield BadRecord("field_count", f"{name}:{first + 1}", f"{len(cells)} fields where the header has more")
        else:
            cell = {key: cells[place].strip() for key, place in held.items()}
            yield _row(cell, (places[first], places[rows.line_num]))


def _row(cell: dict[str, str], span: tuple[int, int]) -> Reading:
    interval, unit = cell.get("interval", ""), cell.get("unit", "")
    verbatim = " ".join(filter(None, (cell["name"], cell["value"], unit))) + (f" (interval {interval})" if interval else "")
    return _reading(cell["name"], cell.get("code", ""), cell["value"], unit, interval, verbatim, span, cell.get("expert", ""))


def _text(text: str, name: str) -> Iterator[Reading | BadRecord]:
    headings = list(_SECTION.finditer(text))
    ends = [*(heading.start() for heading in headings), len(text)][1:]
    sections = [
        (found["name"].strip(), found.start(), text[found.end() : end].strip(), end) for found, end in zip(headings, ends, strict=False)
    ]
    expert = next((section for section in sections if section[0].lower() in _EXPERT and section[2]), None)
    described = [section for section in sections if section[0].lower() == "findings" and section[2]]
    if expert and described:
        verbatim = "\n".join(f"{title}: {words}" for title, _, words, _ in described)
        yield Reading("", "", None, "", None, None, verbatim, expert[2], "section", described[0][1], max(expert[3], described[-1][3]))
        return
    place = 0
    for line in text.splitlines(keepends=True):
        words = line.strip()
        start = place + line.find(words)
        place += len(line)
        if not words:
            continue
        found = list(reading_line(words))
        for title, value, unit, first, last in found:
            yield _reading(title, "", value, unit, "", words[first:last], (start + first, start + last))
        if not found:
            yield Reading("", "", None, "", None, None, words, "", "entry", start, start + len(words))


def _reading(name: str, code: str, value: str, unit: str, interval: str, verbatim: str, span: tuple[int, int], expert: str = "") -> Reading:
    number = _VALUE.fullmatch(value)
    limits = _INTERVAL.match(interval)
    low, high = (limits["low"] or limits["least"], limits["high"] or limits["most"]) if limits else (None, None)
    return Reading(
        name=name,
        code=code,
        value=float(number[1]) if number else None,
        unit=unit,
        low=float(low) if low else None,
        high=float(high) if high else None,
        verbatim=verbatim,
        expert=expert,
        form="entry",
        start=span[0],
        end=span[1],
    )
