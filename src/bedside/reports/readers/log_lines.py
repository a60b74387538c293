"""Logs of devices: lines of `key=value`, JSON lines, and lines in the manner of syslog.

    2026-03-12T08:05:00+10:00 ECG-12 INFO patient=123456 HR=44/min QTc=492ms stmt="PROLONGED QT"
    {"ts": "2026-03-12T08:05:00Z", "device": "POC-1", "test": "Glucose", "value": 11.4, "unit": "mmol/L", "flag": "H"}
    <134>Mar 12 08:05:00 oxi01 oximeter[221]: SpO2=89% PR=104bpm alarm="LOW SPO2"

A key that names an analyte, with a number, is a result; what the device says in words is a statement. Lines that say neither are counted.
Syslog: RFC 3164 and RFC 5424.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bedside.knowledge.ucum import unit_pattern
from bedside.reports.model import DiagnosticReport, Span
from bedside.reports.readers.data import content
from bedside.reports.readers.fhir_json import WrittenNumber
from bedside.reports.readers.people import finished
from bedside.reports.readers.source import Draft, ReportError, Source, decoded
from bedside.reports.readers.statements import readings
from bedside.reports.readers.values import NUMBER, iso_time, written_time
from bedside.reports.units import analyte_of, unit_of

FORMAT = "log"
MAX_LINES = 100_000
_MAX_LINE = 8192
_BARE = rf"(?:(?:[<>]=?)?{NUMBER}\s(?:{unit_pattern()})(?![\w=/^])|[^\s,;|]{{1,400}})(?:\s(?:HH|LL|[HLA])(?![\w=]))?"
_PAIR = re.compile(
    rf"(?<![\w=])(?P<key>[A-Za-z@][\w.@/%-]{{0,40}})\s?=\s?(?:\"(?P<quoted>(?:[^\"\\]|\\.){{0,4000}})\"|'(?P<single>[^']{{0,4000}})'|(?P<bare>{_BARE}))"
)
_PRESSURE = re.compile(r"(\d{2,3})/(\d{2,3})\s?(\S{0,8})")
_TIME = re.compile(
    r"\A\s*(?:<\d{1,3}>\d?\s*)?\[?(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?|\d{1,2}/\d{1,2}/\d{4} \d\d:\d\d(?::\d\d)?|(?P<bsd>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d))\]?"
)
_LEVEL = re.compile(r"\b(TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRIT(?:ICAL)?|ALARM|ALERT|FATAL)\b(?!\s?=)", re.IGNORECASE)
_VALUE = re.compile(
    rf"(?P<value>(?:[<>]=?)?{NUMBER})\s?(?P<unit>(?!(?<=\s)(?:HH|LL|[HLA])\s*$)[^\s\d;,()]\S{{0,20}})?(?:\s+(?P<flag>H|L|HH|LL|A|N))?"
)


@dataclass
class _Entry:
    """A line of a log.

    Attributes:
        pairs: keys in lower case with their values as written.
        words: the line without its time and pairs.
    """

    span: Span
    text: str
    pairs: dict[str, str] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    words: str = ""
    time: datetime | None = None
    level: str = ""
    fault: str = ""


def sniff(head: bytes, name: str) -> bool:
    """Whether most of its first lines begin with a time, hold pairs, or are JSON objects that are no FHIR resources."""
    lines = [line for line in decoded(head, name).text.splitlines()[:50] if line.strip()]
    lines = lines[:-1] if len(lines) > 1 and len(head) > 60_000 else lines
    if not lines or b'"resourceType"' in head:
        return False
    alike = sum(
        bool(_TIME.match(line) or len(_PAIR.findall(line[:_MAX_LINE])) > 1 or (line[:1] == "{" and line.rstrip()[-1:] == "}"))
        for line in lines
    )
    paired = sum(bool(_PAIR.search(line[:_MAX_LINE]) or line[:1] == "{" or _LEVEL.search(line[:80])) for line in lines)
    return alike * 2 > len(lines) and paired > 0


def read(data: bytes, name: str) -> list[DiagnosticReport]:
    """One report a person; lines that name none belong to the one named before.

    Raises:
        ReportError: no line holds a result or says anything, or there are too many.
    """
    source = decoded(data, name)
    drafts: dict[str, tuple[Draft, dict[str, str]]] = {}
    current = ""
    quiet = 0
    for entry in _entries(source):
        told = {what: entry.pairs[key] for key, what in content("log_lines.yaml")["person"].items() if entry.pairs.get(key)}
        current = told.get("mrn", current)
        draft, headers = drafts.setdefault(current, (Draft(source, "Device log"), {}))
        headers |= {what: value for what, value in told.items() if what not in headers}
        _device(entry, headers)
        before = len(draft.findings)
        _add(draft, entry)
        quiet += len(draft.findings) == before
    reports = [finished(draft, FORMAT, headers) for draft, headers in drafts.values() if draft.findings or draft.problems]
    if not any(report.findings for report in reports):
        raise ReportError(f"{name} is a log in which nothing is reported", "Give a log with results such as HR=72/min")
    if quiet:
        last = Draft(source)
        last.problem("not_read", f"{quiet} lines without a result or statement", source.span("log"))
        reports[0] = reports[0].model_copy(update={"problems": (*reports[0].problems, *last.problems)})
    return [report.model_copy(update={"time": _first_time(report)}) for report in reports]


def _entries(source: Source) -> Iterator[_Entry]:
    for number, found in enumerate(re.finditer(r"[^\r\n]+", source.text), 1):
        if number > MAX_LINES:
            raise ReportError(f"{source.name} has more than {MAX_LINES:,} lines", "Give the log of one day")
        text = found.group()[:_MAX_LINE]
        if not text.strip():
            continue
        entry = _Entry(source.span(f"line {number}", found.start(), found.start() + len(text)), text)
        _parse_json(entry) if text.lstrip().startswith("{") else _parse_pairs(entry)
        keys = content("log_lines.yaml")["time"]
        written = next((entry.pairs[key] for key in keys if entry.pairs.get(key)), "")
        entry.time = entry.time or iso_time(written) or written_time(written)
        entry.level = entry.level or entry.pairs.get("level", entry.pairs.get("severity", "")).lower()
        yield entry


def _parse_json(entry: _Entry) -> None:
    try:
        held = json.loads(entry.text, parse_float=WrittenNumber, parse_int=WrittenNumber, parse_constant=str)
    except (ValueError, RecursionError) as error:
        entry.fault = f"{str(error)[:80]}: {entry.text[:80]}"
        return
    _flatten(entry, held, depth=0)


def _flatten(entry: _Entry, held: dict[str, Any], depth: int) -> None:
    for key, value in held.items():
        written = value.written if isinstance(value, WrittenNumber) else value.strip() if isinstance(value, str) else ""
        if written and key.lower() not in entry.pairs:
            entry.pairs[key.lower()] = written
            entry.written[key.lower()] = key
        elif isinstance(value, dict) and depth < 4:
            _flatten(entry, value, depth + 1)


def _parse_pairs(entry: _Entry) -> None:
    text = entry.text
    if head := _TIME.match(text):
        entry.time = None if head["bsd"] else iso_time(head["time"].replace(",", ".")) or written_time(head["time"])
        text = " " * head.end() + text[head.end() :]
    if level := _LEVEL.search(text[:120]):
        entry.level = level.group().lower()
    rest, done = "", 0
    for pair in _PAIR.finditer(text):
        rest += text[done : pair.start()]
        done = pair.end()
        value = pair["quoted"] or pair["single"] or pair["bare"] or ""
        entry.pairs.setdefault(pair["key"].lower(), value)
        entry.written.setdefault(pair["key"].lower(), pair["key"])
    rest += text[done:]
    entry.words = (
        re.split(r"\]:\s|:\s", rest, maxsplit=1)[-1] if level is None else rest[rest.find(level.group()) + len(level.group()) :]
    ).strip(" ,;|-:")


def _add(draft: Draft, entry: _Entry) -> None:
    """Adds the results and statements of a line."""
    tables = content("log_lines.yaml")
    if entry.fault:
        draft.problem("bad_json", entry.fault, entry.span)
    named = next((entry.pairs[key] for key in ("test", "analyte", "parameter", "measure", "name") if key in entry.pairs), "")
    if named and entry.pairs.get("value"):
        _add_result(draft, entry, named, entry.pairs["value"], entry.pairs.get("unit", entry.pairs.get("units", "")))
    for key, value in entry.pairs.items():
        told = {*tables["statements"], *tables["person"], *tables["device"], *tables["time"], *tables["envelope"]}
        base, _, suffix = key.rpartition("_")
        shown = tables["names"].get(key) or entry.written[key]
        if key in tables["statements"]:
            draft.statement(entry.written[key], value, entry.span, time=entry.time)
        elif key not in told:
            _add_named(draft, entry, shown if analyte_of(shown) else base or shown, value, suffix if not analyte_of(shown) else "")
    _add_words(draft, entry)


def _add_named(draft: Draft, entry: _Entry, name: str, value: str, suffix: str) -> None:
    """Adds a pair as a result where its key names an analyte, as a failed measurement where the value is one, else where a unit is known."""
    if pressure := _PRESSURE.fullmatch(value):
        for side, written in zip(("Systolic", "Diastolic"), pressure.groups(), strict=False):
            _add_result(draft, entry, f"{side} blood pressure", written, pressure[3] or "mmHg")
        return
    found = _VALUE.fullmatch(value)
    if found and unit_of(found["unit"] or "") == "/min":
        name = content("log_lines.yaml")["rates"].get(name.lower(), name)
    known = analyte_of(name) is not None
    if known and value.lower() in content("log_lines.yaml")["failed"]:
        draft.problem("failed_measurement", f"{name}={value}", entry.span)
    elif found and (known or found["unit"]):
        _add_result(
            draft, entry, name if known or not suffix else f"{name}_{suffix}", found["value"], found["unit"] or suffix, found["flag"] or ""
        )
    elif known:
        draft.statement(name, f"{name} {value}", entry.span, time=entry.time)


def _add_result(draft: Draft, entry: _Entry, name: str, value: str, unit: str, flag: str = "") -> None:
    limits = entry.pairs.get("range") or entry.pairs.get("ref_range") or entry.pairs.get("ref", "")
    device = next((entry.pairs[key] for key in content("log_lines.yaml")["device"] if entry.pairs.get(key)), "")
    alone = entry.pairs.get("value") == value
    draft.result(
        name,
        value,
        unit,
        entry.span,
        text=entry.text.strip()[:500],
        limits=limits if alone else "",
        flag=flag or (entry.pairs.get("flag", "") if alone else ""),
        code=entry.pairs.get("loinc", "") if alone else "",
        system="loinc" if alone and entry.pairs.get("loinc") else "",
        time=entry.time,
        device=device,
    )


def _add_words(draft: Draft, entry: _Entry) -> None:
    """Adds what a line says beside its pairs: results in words, and statements that are no chatter."""
    words = entry.words
    if not words:
        return
    found = list(readings(words))
    offset = entry.text.find(words)
    for reading in found:
        start = (entry.span.start or 0) + offset + reading.start
        span = entry.span.model_copy(update={"start": start, "end": start + reading.end - reading.start}) if offset >= 0 else entry.span
        shown = words[reading.start : reading.end].strip()
        draft.result(
            reading.name, reading.written, reading.unit, span, text=shown, limits=reading.limits, flag=reading.flag, time=entry.time
        )
    loud = entry.level and entry.level not in content("log_lines.yaml")["quiet"]
    if not found and (loud or (not entry.level and not entry.pairs)) and re.search(r"[A-Za-z]{3}", words):
        draft.statement(entry.level.upper() or "Statement", words, entry.span, time=entry.time)


def _device(entry: _Entry, headers: dict[str, str]) -> None:
    parts = [entry.pairs[key] for key in content("log_lines.yaml")["device"] if entry.pairs.get(key)]
    if parts:
        headers.setdefault("device", " ".join(parts))


def _first_time(report: DiagnosticReport) -> datetime | None:
    return next((finding.time for finding in report.findings if finding.time), None)
