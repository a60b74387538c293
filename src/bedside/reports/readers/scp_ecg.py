"""SCP-ECG (EN 1064, ISO 11073-91064): patient, device, leads, the machine's measurements and statements.

Sections 0 to 8, 10 and 11 are read; vendor sections are counted. No library is used: the permissive one there is (`ecgdatakit`) brings 60 MB,
refuses bimodal compression and loses the places of statements.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from bedside.reports.model import DiagnosticReport, Person, Sex, Signal, Span
from bedside.reports.readers.scp_bits import Samples, Table, check_sum, stretched, summed, tables, unpacked
from bedside.reports.readers.source import Draft, ReportError, Source

Array = NDArray[np.float64]
_HEADER = 16
_MOST_LEADS, _MOST_SAMPLES, _MOST_BEATS = 64, 600_000, 2_000
"""Leads, samples of all leads together, beats: far over ten seconds of twelve leads; more would take minutes to unpack."""
_NEXT = "Export the ECG again, or as PDF or DICOM"
_NONE = {29999, 0xFFFF, -1}
"""Values that say "not measured"."""


@dataclass(frozen=True, slots=True)
class _Lead:
    first: int
    last: int
    code: int


@dataclass
class _File:
    data: bytes
    draft: Draft
    sections: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Start and end of each section's body."""
    encoding: str = "latin-1"
    device: str = ""
    time: datetime | None = None
    person: Person = field(default_factory=Person)

    def body(self, number: int) -> bytes:
        start, end = self.sections.get(number, (0, 0))
        return self.data[start:end]

    def span(self, number: int, start: int = 0, end: int | None = None) -> Span:
        first, last = self.sections.get(number, (0, 0))
        return Span(file=self.draft.source.name, path=f"section {number}", start=first + start, end=last if end is None else first + end)


def sniff(head: bytes, name: str) -> bool:
    """Whether a file begins as SCP-ECG: its section 0 stands at byte 6 and names itself."""
    if len(head) < 32:
        return False
    number, length = struct.unpack_from("<HI", head, 8)
    return number == 0 and 26 <= length < 100_000 and (head[16:22] == b"SCPECG" or struct.unpack_from("<HII", head, 22) == (0, length, 7))


def read(data: bytes, name: str) -> list[DiagnosticReport]:
    """One ECG.

    Raises:
        ReportError: its sections, leads or packed samples are broken.
    """
    found = _File(data, Draft(Source(name, ""), "ECG"))
    try:
        _sections(found)
        _patient(found)
        leads = _leads(found)
        if leads:
            _signals(found, leads)
        _measurements(found)
        _lead_measurements(found)
        for number in (8, 11):
            _statements(found, number)
    except (struct.error, IndexError, OverflowError) as error:
        raise ReportError(f"{name} is broken SCP-ECG ({error})", _NEXT) from error
    return [found.draft.report("scp_ecg", "ecg", status=_status(found), time=found.time, patient=found.person, device=found.device)]


def _sections(found: _File) -> None:
    data, name = found.data, found.draft.source.name
    if len(data) < 32:
        raise ReportError(f"{name} has {len(data)} bytes; SCP-ECG has more", _NEXT)
    size = struct.unpack_from("<I", data, 2)[0]
    if size > len(data):
        found.draft.problem("truncated", f"the file should have {size:,} bytes and has {len(data):,}", Span(file=name))
    elif check_sum(data[2:size]) != struct.unpack_from("<H", data)[0]:
        found.draft.problem("bad_checksum", "the record's check sum is wrong: it was changed or damaged", Span(file=name))
    length = struct.unpack_from("<I", data, 10)[0]
    for place in range(22, min(6 + length, len(data)) - 9, 10):
        number, extent, index = struct.unpack_from("<HII", data, place)
        if number and extent and index and number not in found.sections:
            _section(found, number, index - 1, extent)


def _section(found: _File, number: int, start: int, length: int) -> None:
    here = Span(file=found.draft.source.name, path=f"section {number}", start=start, end=start + length)
    if number > 11:
        found.draft.problem("vendor_section", f"section {number} is the vendor's own and was not read", here)
    elif length < _HEADER or start + length > len(found.data) or struct.unpack_from("<H", found.data, start + 2)[0] != number:
        found.draft.problem("truncated", f"section {number} is not where the file says", here)
    else:
        if check_sum(found.data[start + 2 : start + length]) != struct.unpack_from("<H", found.data, start)[0]:
            found.draft.problem("bad_checksum", f"section {number}: its check sum is wrong", here)
        found.sections[number] = (start + _HEADER, start + length)


def _patient(found: _File) -> None:
    tags = _tags(found.body(1))
    for tag, value in tags:
        if tag == 14 and len(value) > 16:
            found.encoding = _names()["encodings"].get(value[16], "latin-1")
    texts = {tag: _text(value, found.encoding) for tag, value in tags}
    raw = dict(tags)
    number = "".join(texts.get(2, "").split())
    found.person = Person(
        identifiers={"mrn": number} if number else {},
        family=texts.get(0, ""),
        given=texts.get(1, ""),
        birth_date=_date(raw.get(5, b"")),
        sex=_sex(raw.get(8, b"")),
    )
    day, clock = _date(raw.get(25, b"")), raw.get(26, b"")
    if day and len(clock) >= 3 and clock[0] < 24 and clock[1] < 60 and clock[2] < 60:
        found.time = datetime(day.year, day.month, day.day, clock[0], clock[1], clock[2], tzinfo=_zone(raw.get(34, b"")))
    found.device = _device(raw.get(14, b""), found.encoding)
    found.draft.comments += [f"{label}: {texts[tag]}" for tag, label in _names()["texts"].items() if texts.get(tag)]


def _tags(body: bytes) -> list[tuple[int, bytes]]:
    tags: list[tuple[int, bytes]] = []
    place = 0
    while place + 3 <= len(body) and body[place] != 255 and len(tags) < 500:
        length = struct.unpack_from("<H", body, place + 1)[0]
        tags.append((body[place], body[place + 3 : place + 3 + length]))
        place += 3 + length
    return tags


def _device(value: bytes, encoding: str) -> str:
    if len(value) < 36:
        return ""
    parts = [_text(part, encoding) for part in value[36:].split(b"\0")] + [""] * 5
    program, serial, software, _, maker = parts[:5]
    named = [maker, _text(value[8:14], encoding), serial and f"serial {serial}", software and f"software {software}", program]
    return ", ".join(part for part in named if part)


def _leads(found: _File) -> list[_Lead]:
    body = found.body(3)
    if len(body) < 2:
        return []
    count = body[0]
    if not 1 <= count <= _MOST_LEADS or 2 + 9 * count > len(body):
        raise ReportError(f"{found.draft.source.name} names {count} leads in {len(body)} bytes", _NEXT)
    leads = [_Lead(*struct.unpack_from("<IIB", body, 2 + 9 * number)) for number in range(count)]
    for lead in leads:
        if not 1 <= lead.first <= lead.last <= _MOST_SAMPLES:
            raise ReportError(f"{found.draft.source.name} has a lead of samples {lead.first} to {lead.last}", _NEXT)
    total = sum(lead.last - lead.first + 1 for lead in leads)
    if total > _MOST_SAMPLES:
        raise ReportError(f"{found.draft.source.name} names {total:,} samples; at most {_MOST_SAMPLES:,} are read", "Export ten seconds")
    return leads


def _signals(found: _File, leads: list[_Lead]) -> None:
    body, coded = found.body(6), tables(found.body(2)) if 2 in found.sections else None
    if len(body) < 6 + 2 * len(leads):
        found.draft.problem("no_signal", "the file holds no rhythm recording", found.span(6))
        return
    scale, interval, order, bimodal = struct.unpack_from("<HHBB", body)
    if not interval or order > 2:
        raise ReportError(f"{found.draft.source.name} has a sampling interval of {interval} µs and differences of order {order}", _NEXT)
    zones = _zones(found)
    beat = _reference_beat(found, leads, coded)
    fine = beat.interval if beat and beat.interval else interval
    step = max(1, round(interval / fine)) if bimodal else 1
    nanovolts, place = float(scale), 6 + 2 * len(leads)
    for number, lead in enumerate(leads):
        size = struct.unpack_from("<H", body, 6 + 2 * number)[0]
        chunk, count = body[place : place + size], lead.last - lead.first + 1
        kept = [(first - lead.first + 1, last - lead.first + 1) for first, last in zones.kept]
        samples = _samples(chunk, _packed(count, kept, step) if step > 1 else count, coded, order)
        if step > 1:
            samples = stretched(samples, count, kept, step)
        values = samples.astype(np.float64) * nanovolts
        if beat and found.body(3)[1] & 1:
            values = values + beat.laid_over(number, lead, zones, count)
        span = Span(
            file=found.draft.source.name,
            path=f"section 6 lead {number + 1}",
            start=found.sections[6][0] + place,
            end=found.sections[6][0] + place + size,
        )
        rate = 1e6 / (fine if bimodal else interval)
        found.draft.signals.append(
            Signal(name=_lead_label(lead.code), values=values / 1e6, unit="mV", rate=rate, start=found.time, source=span)
        )
        place += size


@dataclass(frozen=True, slots=True)
class _Zones:
    """Section 4: where reference beats were subtracted (type, first, fiducial, last; from 1), and where all samples were kept."""

    fiducial: int = 0
    milliseconds: int = 0
    subtracted: tuple[tuple[int, int, int, int], ...] = ()
    kept: tuple[tuple[int, int], ...] = ()


def _zones(found: _File) -> _Zones:
    body = found.body(4)
    if len(body) < 6:
        return _Zones()
    milliseconds, fiducial, count = struct.unpack_from("<HHH", body)
    count = min(count, _MOST_BEATS, (len(body) - 6) // 14)
    subtracted = tuple(struct.unpack_from("<HIII", body, 6 + 14 * number) for number in range(count))
    rest = 6 + 14 * count
    kept = tuple(struct.unpack_from("<II", body, rest + 8 * number) for number in range(min(count, (len(body) - rest) // 8)))
    return _Zones(fiducial, milliseconds, subtracted, kept)


@dataclass(frozen=True, slots=True)
class _Beat:
    """Section 5: the reference beat of each lead, nV."""

    interval: int
    rows: tuple[Array, ...]
    fiducial: int

    def laid_over(self, number: int, lead: _Lead, zones: _Zones, count: int) -> Array:
        """The beat in every zone from which it was subtracted, nV, shape [count]."""
        row, added = self.rows[number], np.zeros(count)
        for kind, first, fiducial, last in zones.subtracted:
            begins = fiducial - self.fiducial + 1
            low, high = max(first, lead.first, begins), min(last, lead.last, begins + len(row) - 1)
            if kind == 0 and low <= high:
                added[low - lead.first : high - lead.first + 1] += row[low - begins : high - begins + 1]
        return added


def _reference_beat(found: _File, leads: list[_Lead], coded: list[Table] | None) -> _Beat | None:
    body, zones = found.body(5), _zones(found)
    if len(body) < 6 + 2 * len(leads):
        return None
    scale, interval, order = struct.unpack_from("<HHB", body)
    if not interval or order > 2:
        return None
    count, place, rows = round(zones.milliseconds * 1000 / interval), 6 + 2 * len(leads), []
    if count * len(leads) > _MOST_SAMPLES:
        raise ReportError(f"{found.draft.source.name} has a reference beat of {count:,} samples", _NEXT)
    for number in range(len(leads)):
        size = struct.unpack_from("<H", body, 6 + 2 * number)[0]
        chunk = body[place : place + size]
        rows.append(_samples(chunk, count if coded or count else size // 2, coded, order).astype(np.float64) * float(scale))
        place += size
    return _Beat(interval, tuple(rows), zones.fiducial)


def _samples(chunk: bytes, count: int, coded: list[Table] | None, order: int) -> Samples:
    if coded:
        return summed(unpacked(chunk, count, coded), order)
    if len(chunk) < 2 * count:
        raise ReportError(f"a lead of the SCP-ECG has {len(chunk) // 2} of {count} samples", _NEXT)
    return summed(np.frombuffer(chunk, dtype="<i2", count=count).astype(np.int64), order)


def _packed(count: int, kept: list[tuple[int, int]], step: int) -> int:
    """Samples that are stored of `count` where only `kept` zones are whole."""
    total, place = 0, 1
    for first, last in sorted((max(1, a), min(count, b)) for a, b in kept if b >= 1 and a <= count):
        total += -(-max(0, first - place) // step) + max(0, last - max(first, place) + 1)
        place = max(place, last + 1)
    return total + -(-max(0, count - place + 1) // step)


def _measurements(found: _File) -> None:
    """Section 7: global measurements; P, QRS and T limits of the first block give PR, QRS and QT."""
    body = found.body(7)
    if len(body) < 6:
        return
    blocks, spikes = body[0], body[1]
    _measure(found, 7, "RR interval", struct.unpack_from("<H", body, 2)[0], "ms", 2)
    if blocks and len(body) >= 22:
        p_on, p_off, qrs_on, qrs_off, t_off, p_axis, qrs_axis, t_axis = struct.unpack_from("<5H3h", body, 6)
        for name, start, end in (
            ("P duration", p_on, p_off),
            ("PR interval", p_on, qrs_on),
            ("QRS duration", qrs_on, qrs_off),
            ("QT interval", qrs_on, t_off),
        ):
            if not {start, end} & _NONE and end > start:
                _measure(found, 7, name, end - start, "ms", 6)
        for name, angle in (("P axis", p_axis), ("QRS axis", qrs_axis), ("T axis", t_axis)):
            if abs(angle) <= 360:
                _measure(found, 7, name, angle, "deg", 16)
    place = 6 + 16 * blocks + 10 * spikes
    if spikes:
        found.draft.statement("Pacemaker spikes", f"{spikes} spikes", found.span(7))
    if place + 2 <= len(body):
        place += 2 + struct.unpack_from("<H", body, place)[0]
        if place + 7 <= len(body):
            rate, atrial, qtc, formula = struct.unpack_from("<HHHB", body, place)
            _measure(found, 7, "Ventricular rate", rate, "/min", place)
            _measure(found, 7, "Atrial rate", atrial, "/min", place + 2)
            label = {1: "QTc Bazett", 2: "QTc Hodges"}.get(formula, "QTc")
            _measure(found, 7, label, qtc, "ms", place + 4)


def _measure(found: _File, number: int, name: str, value: int, unit: str, place: int) -> None:
    if value not in _NONE and (value or unit == "deg"):
        found.draft.result(name, str(value), unit, found.span(number, place, place + 2), numeric=True, time=found.time, device=found.device)


def _lead_measurements(found: _File) -> None:
    """Section 10: ST levels by lead; other measurements of single leads are counted."""
    body = found.body(10)
    if len(body) < 4:
        return
    place, others = 4, 0
    for _ in range(min(struct.unpack_from("<H", body)[0], _MOST_LEADS)):
        if place + 4 > len(body):
            break
        code, size = struct.unpack_from("<HH", body, place)
        values = np.frombuffer(body[place + 4 : place + 4 + size // 2 * 2], dtype="<i2")
        others += len(values)
        if len(values) > 14 and int(values[14]) not in (29999, 29998, 19999, -32768):
            found.draft.result(
                f"J point amplitude {_lead_label(code)}",
                str(int(values[14])),
                "uV",
                found.span(10, place, place + 4 + size),
                numeric=True,
                time=found.time,
            )
        place += 4 + size
    if others:
        found.draft.problem("not_taken", f"{others} further measurements of single leads were not taken over", found.span(10))


def _statements(found: _File, number: int) -> None:
    """Section 8 (text) and 11 (universal codes): what the machine or a reader stated."""
    body = found.body(number)
    if len(body) < 9:
        return
    reader = {0: "not confirmed", 1: "confirmed", 2: "overread"}.get(body[0], "")
    place = 9
    for _ in range(body[8]):
        if place + 3 > len(body):
            found.draft.problem("truncated", f"statements of section {number} are cut off", found.span(number))
            return
        size = struct.unpack_from("<H", body, place + 1)[0]
        value = body[place + 3 + (number == 11) : place + 3 + size]
        text = " ".join(part for part in (_text(part, found.encoding) for part in value.split(b"\0")) if part)
        if text:
            name = "ECG statement" if number == 8 else "ECG statement (universal code)"
            span = found.span(number, place + 3, place + 3 + size)
            found.draft.statement(name, text, span, time=found.time, device=found.device, method=reader)
        place += 3 + size


def _status(found: _File) -> str:
    body = found.body(8) or found.body(11)
    return "unknown" if not body else "preliminary" if body[0] == 0 else "final"


def _text(value: bytes, encoding: str) -> str:
    if encoding != "utf-16-le":
        value = value.split(b"\0", 1)[0]
    return value.decode(encoding, errors="replace").replace("\0", "").strip()


def _date(value: bytes) -> date | None:
    try:
        return date(*struct.unpack_from("<HBB", value)) if len(value) >= 4 else None
    except ValueError:
        return None


def _zone(value: bytes) -> timezone | None:
    minutes = struct.unpack_from("<h", value)[0] if len(value) >= 2 else 0x7FFF
    if abs(minutes) > 14 * 60:
        return None
    return timezone(timedelta(minutes=minutes)) if minutes else UTC


def _sex(value: bytes) -> Sex:
    code = value[0] if value else 0
    return "male" if code == 1 else "female" if code == 2 else "unknown"


def _lead_label(code: int) -> str:
    return str(_names()["leads"].get(code, f"lead {code}"))


@cache
def _names() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(files("bedside.reports.readers").joinpath("scp_ecg.yaml").read_text(encoding="utf-8"))
    return content
