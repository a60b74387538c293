"""What all readers share: the text of a file with its places, limits, and a draft that gathers findings and problems."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bedside.errors import BedsideError
from bedside.reports.model import DiagnosticReport, Finding, Interval, Kind, Problem, Signal, Span
from bedside.reports.readers.kinds import kind_of
from bedside.reports.readers.values import Comparator, Number, interval, number
from bedside.reports.units import loinc_of, unit_fault, unit_of

MAX_BYTES = 64 * 1024 * 1024
"""Of any file."""
MAX_TEXT = 16 * 1024 * 1024
"""Bytes of a file that is read as text."""
MAX_FINDINGS = 20_000
_SHOWN = 20
"""Problems of one reason that are listed one by one; further ones are counted."""
_FALLBACK = "cp1252"
_CHARSETS = {
    "ASCII": "ascii",
    "8859/1": "cp1252",
    "8859/15": "iso8859-15",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UNICODE UTF-16": "utf-16",
}
"""HL7 table 0211 (MSH-18). Windows-1252 holds all of ISO 8859-1 that is text."""
_GDT_CHARSETS = {b"1": "ascii", b"2": "cp437", b"3": "cp1252", b"4": "utf-8"}
"""GDT field 9206."""
_GDT_CHARSET = re.compile(rb"\A\d{3}8000\d{4}\r?\n(?:[^\n]*\n){0,12}?\d{3}9206(\d)")
_GDT_HEAD = re.compile(rb"\A\s*\d{3}8000\d{4}")
_GERMAN = "äöüÄÖÜß"
_MSH = re.compile(rb"\A[\x0b\s]*(?:[FB]HS[^\r\n]*[\r\n]+){0,2}MSH([^\r\n]+)")
_CHARSET_FIELD = 17
"""Of MSH-18 among the parts between separators behind `MSH`."""


class ReportError(BedsideError):
    """A file is no report that can be read."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file as text.

    Attributes:
        name: of the file, without folders.
        text: decoded; all places count its characters.
        fault: what was wrong with its encoding, or "".
    """

    name: str
    text: str
    fault: str = ""

    def span(self, path: str, start: int | None = None, end: int | None = None) -> Span:
        """A place in this file."""
        return Span(file=self.name, path=path, start=start, end=end)


def decoded(data: bytes, name: str) -> Source:
    """A file as text: by its byte order mark, by the character set that it declares (HL7 MSH-18, GDT 9206), as UTF-8, else as Windows-1252.

    Raises:
        ReportError: it is larger than `MAX_TEXT`.
    """
    if len(data) > MAX_TEXT:
        raise ReportError(f"{name} has {len(data):,} bytes of text; at most {MAX_TEXT:,} are read", "Split it into single reports")
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            return _decoded(data, name, encoding, stated=True)
    declared = _declared(data)
    return _decoded(data, name, declared or "utf-8", stated=bool(declared))


def _decoded(data: bytes, name: str, encoding: str, *, stated: bool) -> Source:
    try:
        return Source(name, data.decode(encoding))
    except UnicodeDecodeError as error:
        other = _guessed(data)
        fault = f"byte {error.start} is not {encoding}{' as the file says' if stated else ''}; read as {other}"
        return Source(name, data.decode(other, errors="replace"), fault)


def _guessed(data: bytes) -> str:
    """Windows-1252; code page 437, the default of GDT, where German letters stand at its places."""
    counts = [
        sum(data.count(byte) for byte in letters.encode(encoding)) for letters, encoding in ((_GERMAN, "cp437"), (_GERMAN, _FALLBACK))
    ]
    return "cp437" if _GDT_HEAD.match(data) and counts[0] > counts[1] else _FALLBACK


def _declared(data: bytes) -> str:
    head = data[:4096]
    if found := _MSH.match(head):
        fields = found[1].split(found[1][:1])
        stated = fields[_CHARSET_FIELD].split(b"~")[0] if len(fields) > _CHARSET_FIELD else b""
        return _CHARSETS.get(stated.decode("ascii", "replace").strip().upper(), "")
    found = _GDT_CHARSET.match(head)
    return _GDT_CHARSETS.get(found[1], "") if found else ""


@dataclass
class Draft:
    """A report while it is read.

    Attributes:
        source: the file.
        title: what the report is about; it decides about names that mean several things.
    """

    source: Source
    title: str = ""
    findings: list[Finding] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)

    def problem(self, reason: str, detail: str, span: Span) -> None:
        """Notes something that could not be read or believed; the details of many alike are left out, their number is not."""
        self._counts[reason] += 1
        if self._counts[reason] <= _SHOWN:
            self.problems.append(Problem(reason=reason, detail=detail[:300], source=span))

    def statement(self, name: str, text: str, span: Span, **more: Any) -> None:
        """Adds something that was reported in words."""
        self._add(Finding(name=name, text=text, source=span, **more))

    def result(
        self,
        name: str,
        written: str,
        unit: str,
        span: Span,
        *,
        text: str = "",
        limits: str | Interval = "",
        comparator: Comparator = "",
        numeric: bool = False,
        code: str = "",
        system: str = "",
        **more: Any,
    ) -> None:
        """Adds a result: its number, unit and interval are read, and what is wrong with them becomes a problem.

        Args:
            written: the value as it stands there, with `<` or `>` where it has one and `comparator` does not give it.
            unit: as it stands there.
            text: the source's own words; without them they are put together from the parts.
            limits: reference interval as it stands there.
            numeric: the source says that the value is a number.
            more: other attributes of `Finding`.
        """
        said = number(written)
        code_of = unit_of(unit)
        for reason, detail in _faults(written, said, unit, unit_fault(name, code, code_of, self.title), numeric=numeric):
            self.problem(reason, f"{name}: {detail}", span)
        if system != "loinc" and (known := loinc_of(name, code_of, self.title)):
            code, system = known, "loinc"
        range_ = limits if isinstance(limits, Interval) else interval(limits)
        shown = f"{name} {comparator}{written} {unit}".strip() + (f" ({range_.text})" if range_ and range_.text else "")
        self._add(
            Finding(
                name=name,
                text=text or (f"{shown} {more['flag']}" if more.get("flag") else shown),
                source=span,
                code=code,
                system=system,
                value=said.value if said else None,
                comparator=(said.comparator or comparator) if said else "",
                unit=code_of,
                written_value=written,
                written_unit=unit,
                range=range_,
                **more,
            )
        )

    def report(self, format: str, kind: Kind | None = None, *, otherwise: Kind = "other", **more: Any) -> DiagnosticReport:
        """The finished report; without a kind, it is what most of its findings are of, `otherwise` where they do not tell."""
        if self.source.fault:
            self.problem("bad_encoding", self.source.fault, self.source.span(""))
        for reason, count in self._counts.items():
            if count > _SHOWN:
                detail = f"{count - _SHOWN:,} more of these"
                self.problems.append(Problem(reason=reason, detail=detail, source=self.source.span("")))
        told = kind or kind_of(self.title, self.findings)
        return DiagnosticReport(
            kind=otherwise if told == "other" else told,
            format=format,
            title=self.title,
            findings=tuple(self.findings),
            signals=tuple(self.signals),
            comments=tuple(dict.fromkeys(self.comments)),
            problems=tuple(self.problems),
            **more,
        )

    def _add(self, finding: Finding) -> None:
        if len(self.findings) >= MAX_FINDINGS:
            raise ReportError(f"{self.source.name} holds more than {MAX_FINDINGS:,} results", "Split it into single reports")
        self.findings.append(finding)


def _faults(written: str, said: Number | None, unit: str, fault: str, *, numeric: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with a value and its unit, as reason and detail; `fault` is why its analyte cannot be in that unit."""
    if said is None and numeric:
        yield "bad_number", f"{written[:60]!r} is no number"
    if said is not None and said.unsure:
        yield "unsure_number", f"the comma of {written!r} was read as one between thousands"
    if unit and not unit_of(unit):
        yield "unknown_unit", f"{unit[:60]!r} is no unit that is known"
    elif said is not None and fault:
        yield "impossible_unit", f"{written} {unit}: {fault}"
