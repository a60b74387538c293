"""HL7 annotated ECG (aECG, HL7 V3 normative edition 2004): leads, measurements and the machine's statements, by defusedxml."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from bedside.reports.model import DiagnosticReport, Person, Sex, Signal
from bedside.reports.readers.source import Draft, ReportError, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

_V3 = "{urn:hl7-org:v3}"
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_NEXT = "Export the ECG again as aECG XML, or as PDF"
_MOST_BYTES, _MOST_TAGS, _MOST_SAMPLES = 8 * 1024 * 1024, 200_000, 2_000_000
"""Of a file, whose parsed form takes many times that; of a file, in which each lead is one; of a lead."""
_NAMES = {
    "MDC_ECG_HEART_RATE": "Heart rate",
    "MDC_ECG_TIME_PD_PR": "PR interval",
    "MDC_ECG_TIME_PD_QRS": "QRS duration",
    "MDC_ECG_TIME_PD_QT": "QT interval",
    "MDC_ECG_TIME_PD_QTC": "QTc",
    "MDC_ECG_TIME_PD_QTc": "QTc",
    "MDC_ECG_TIME_PD_QTcB": "QTc Bazett",
    "MDC_ECG_TIME_PD_QTC_BAZETT": "QTc Bazett",
    "MDC_ECG_TIME_PD_QTcF": "QTc Fridericia",
    "MDC_ECG_TIME_PD_QTC_FRIDERICIA": "QTc Fridericia",
    "MDC_ECG_TIME_PD_RR": "RR interval",
    "MDC_ECG_TIME_PD_P": "P duration",
    "MDC_ECG_ANGLE_P_FRONT": "P axis",
    "MDC_ECG_ANGLE_QRS_FRONT": "QRS axis",
    "MDC_ECG_ANGLE_T_FRONT": "T axis",
}
_STATEMENT = "MDC_ECG_INTERPRETATION"


def sniff(head: bytes, name: str) -> bool:
    """Whether a file is XML whose root is an annotated ECG."""
    return b"AnnotatedECG" in head[:4096] and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def read(data: bytes, name: str) -> list[DiagnosticReport]:
    """The ECG of a file.

    Raises:
        ReportError: it is no XML, has entities or a document type, or holds no annotated ECG.
    """
    if len(data) > _MOST_BYTES or data.count(b"<") > _MOST_TAGS:
        found = f"{len(data):,} bytes and {data.count(b'<'):,} tags"
        raise ReportError(f"{name} has {found}; at most {_MOST_BYTES:,} and {_MOST_TAGS:,} are read", "Export a shorter recording")
    try:
        root = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as error:
        raise ReportError(f"{name} is broken XML ({type(error).__name__}: {str(error)[:120]})", _NEXT) from error
    if not root.tag.endswith("AnnotatedECG"):
        raise ReportError(f"{name} is {root.tag[:60]}, not an annotated ECG", _NEXT)
    _plain(root)
    draft = Draft(Source(name, ""), "ECG")
    time = _time(_value(root, "effectiveTime/low") or _value(root, "effectiveTime/center") or _value(root, "effectiveTime"))
    for number, group in enumerate(root.iter("sequenceSet"), 1):
        _leads(draft, group, number, time)
    for number, note in enumerate(root.iter("annotation"), 1):
        _annotation(draft, note, number, time)
    if not draft.signals and not draft.findings:
        raise ReportError(f"{name} holds neither leads nor measurements", _NEXT)
    return [draft.report("aecg", "ecg", id=_root_id(root), time=time, patient=_person(root), device=_device(root))]


def _plain(root: Element) -> None:
    """Takes the namespace off the names; some writers leave it out themselves."""
    for element in root.iter():
        element.tag = element.tag.removeprefix(_V3) if isinstance(element.tag, str) else ""


def _value(element: Element, path: str) -> str:
    found = element.find(path)
    return "" if found is None else found.get("value", "")


def _code(element: Element) -> str:
    found = element.find("code")
    return "" if found is None else found.get("code", "")


def _leads(draft: Draft, group: Element, number: int, time: datetime | None) -> None:
    """Sequences of one set: one of times, and one of digits for each lead."""
    rate, start = None, time
    leads: list[tuple[str, Element, int]] = []
    for place, sequence in enumerate(group.iter("sequence"), 1):
        value, code = sequence.find("value"), _code(sequence)
        if value is None:
            continue
        if code.startswith("TIME"):
            rate = _rate(draft, value, number)
            start = _time(_value(value, "head")) or time
        else:
            leads.append((code, value, place))
    for code, value, place in leads:
        span = draft.source.span(f"sequence set {number} sequence {place}")
        if rate is None:
            draft.problem("no_time", f"{code}: no sampling interval", span)
            continue
        samples = _samples(draft, value, code, span.path)
        if samples is not None:
            draft.signals.append(
                Signal(name=code.removeprefix("MDC_ECG_LEAD_"), values=samples, unit="mV", rate=rate, start=start, source=span)
            )


def _rate(draft: Draft, value: Element, number: int) -> float | None:
    step = value.find("increment")
    seconds = {"s": 1.0, "ms": 1e-3, "us": 1e-6}.get(step.get("unit", "s") if step is not None else "s")
    try:
        interval = float(step.get("value", "") if step is not None else "") * (seconds or 0.0)
    except ValueError:
        interval = 0.0
    if not 1e-5 <= interval <= 1.0:
        draft.problem("bad_number", "the sampling interval cannot be read", draft.source.span(f"sequence set {number}"))
        return None
    return 1 / interval


def _samples(draft: Draft, value: Element, code: str, path: str) -> NDArray[np.float64] | None:
    """mV; None where digits, scale or unit cannot be read."""
    digits, origin, scale = value.find("digits"), value.find("origin"), value.find("scale")
    unit = scale.get("unit", "uV") if scale is not None else "uV"
    factor = {"nV": 1e-6, "uV": 1e-3, "mV": 1.0, "V": 1e3}.get(unit)
    if factor is None:
        draft.problem("unknown_unit", f"{code} is in {unit[:20]!r}", draft.source.span(path))
        return None
    try:
        raw = np.array((digits.text or "" if digits is not None else "").split()[:_MOST_SAMPLES], dtype=np.float64)
        base = float(origin.get("value", "0")) if origin is not None else 0.0
        gain = float(scale.get("value", "1")) if scale is not None else 1.0
    except ValueError as error:
        draft.problem("bad_number", f"{code}: {str(error)[:80]}", draft.source.span(path))
        return None
    return (base + raw * gain) * factor if raw.size else None


def _annotation(draft: Draft, note: Element, number: int, time: datetime | None) -> None:
    value, code = note.find("value"), _code(note)
    if value is None:
        return
    span = draft.source.span(f"annotation {number}")
    if value.get(_TYPE, "").endswith("PQ") or (value.get("value") and value.get("unit")):
        if code in _NAMES:
            unit = value.get("unit", "")
            draft.result(_NAMES[code], value.get("value", ""), "/min" if unit in ("bpm", "1/min") else unit, span, numeric=True, time=time)
        elif code:
            draft.problem("not_taken", f"{code} {value.get('value', '')} {value.get('unit', '')} was not taken over", span)
    elif text := " ".join("".join(value.itertext()).split()) or value.get("displayName", ""):
        name = "ECG statement" if code.startswith(_STATEMENT) or not code else code
        draft.statement(name, text, span, time=time)


def _root_id(root: Element) -> str:
    found = root.find("id")
    return "" if found is None else found.get("extension", "") or found.get("root", "")


def _person(root: Element) -> Person:
    subject = next(root.iter("trialSubject"), None)
    person = next(root.iter("subjectDemographicPerson"), None)
    ident = subject.find("id") if subject is not None else None
    number = "".join((ident.get("extension", "") if ident is not None else "").split())
    sex: Sex = "unknown"
    family = given = birth = ""
    if person is not None:
        gender = person.find("administrativeGenderCode")
        sexes: dict[str, Sex] = {"F": "female", "M": "male", "UN": "other"}
        sex = sexes.get(gender.get("code", "") if gender is not None else "", "unknown")
        birth = _value(person, "birthTime")
        family, given = (person.findtext(f"name/{part}") or "" for part in ("family", "given"))
        family = family or (person.findtext("name") or "").strip()
    born = _time(birth)
    return Person(identifiers={"mrn": number} if number else {}, family=family, given=given, birth_date=_day(born), sex=sex)


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _device(root: Element) -> str:
    device = next(root.iter("manufacturedSeriesDevice"), None)
    maker = next(root.iter("manufacturerOrganization"), None)
    parts = [maker.findtext("name") if maker is not None else ""]
    if device is not None:
        parts += [device.findtext("manufacturerModelName"), device.findtext("softwareName")]
        ident = device.find("id")
        parts.append(f"serial {ident.get('extension')}" if ident is not None and ident.get("extension") else "")
    return ", ".join(part.strip() for part in parts if part and part.strip())


def _time(written: str) -> datetime | None:
    plain = written.split(".")[0].split("+")[0].split("-")[0]
    for length, form in ((14, "%Y%m%d%H%M%S"), (12, "%Y%m%d%H%M"), (8, "%Y%m%d")):
        if len(plain) >= length:
            try:
                return datetime.strptime(plain[:length], form)
            except ValueError:
                continue
    return None
