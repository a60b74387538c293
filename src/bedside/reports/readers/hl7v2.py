"""HL7 v2 results (ORU^R01), versions 2.3.1 to 2.5, with the habits of Australian laboratories.

HL7 v2.4 chapter 7; HL7AUSD-STD-OO-ADRM-2021.1. Each OBR is a report. A corrected result takes the place of the one before it in its report;
a display segment (PIT, RTF, HTML, text, PDF) is read for its results where the report has no coded ones, and kept as a comment otherwise.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from bedside.reports.model import DiagnosticReport, Kind, Person, Span, Status
from bedside.reports.readers.data import content
from bedside.reports.readers.hl7_message import Envelope, Segment, segments_of, split_messages
from bedside.reports.readers.markup import from_html, from_pit, from_rtf
from bedside.reports.readers.pdf import pages
from bedside.reports.readers.people import identified
from bedside.reports.readers.source import Draft, ReportError, Source, decoded
from bedside.reports.readers.statements import add_statements
from bedside.reports.readers.superseding import settled
from bedside.reports.readers.values import Comparator, day_of, hl7_time, number

FORMAT = "hl7v2"
_WORDS = ("TX", "FT")
_CODED = ("CE", "CWE", "CNE", "CF", "IS")


def sniff(head: bytes, name: str) -> bool:
    """Whether it starts with a message or a batch header, in an MLLP frame or not."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\x0b\r\n\t ")[:3] in (b"MSH", b"FHS", b"BHS")


def read(data: bytes, name: str) -> list[DiagnosticReport]:
    """The reports of all messages of a file; a later version of a report takes the place of an earlier one.

    Raises:
        ReportError: no message of it holds a result.
    """
    source = decoded(data, name)
    places, envelopes = split_messages(source.text)
    reports: list[DiagnosticReport] = []
    for start, end in places:
        try:
            reports += _Message(source, segments_of(source.text, start, end)).reports()
        except ReportError as error:
            draft = Draft(source, "HL7 message")
            draft.problem("bad_message", error.problem, source.span("MSH", start, end))
            reports.append(draft.report(FORMAT))
    if not any(report.findings or report.comments or report.id for report in reports):
        reasons = "; ".join(dict.fromkeys(problem.detail for report in reports for problem in report.problems))[:300]
        raise ReportError(f"{name} holds no HL7 result: {reasons or 'no message'}", "Send ORU^R01 messages")
    return settled(_counted(reports, envelopes, len(places), source))


def _counted(reports: list[DiagnosticReport], envelopes: Iterable[Envelope], found: int, source: Source) -> list[DiagnosticReport]:
    """The reports; where batch trailers say that there were more or fewer messages, the first report has that as a problem."""
    stated = [
        int(mark.first_field) for mark in envelopes if mark.name == "BTS" and mark.first_field.isdecimal() and len(mark.first_field) < 9
    ]
    headers = sum(mark.name == "BHS" for mark in envelopes)
    details = [f"the batch trailer counts {sum(stated)} messages, {found} were found"] if stated and sum(stated) != found else []
    details += ["a batch header without its trailer: the end of the file is missing"] if headers and not stated else []
    draft = Draft(source)
    for detail in details:
        draft.problem("truncated", detail, source.span("BTS"))
    return [reports[0].model_copy(update={"problems": (*reports[0].problems, *draft.problems)}), *reports[1:]]


@dataclass
class _Result:
    """An OBX with what follows it."""

    segment: Segment
    more: list[Segment] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)


@dataclass
class _Order:
    """An OBR (None where the message has none) with what follows it."""

    segment: Segment | None
    comments: list[str] = field(default_factory=list)
    results: list[_Result] = field(default_factory=list)


class _Message:
    """One message."""

    def __init__(self, source: Source, segments: list[Segment]) -> None:
        self.source = source
        self.segments = segments
        self.header = segments[0]
        self.patient_segment = next((segment for segment in segments if segment.name == "PID"), None)
        self.unread = [segment for segment in segments if segment.name not in content("hl7v2.yaml")["without_results"]]
        self.broken = [segment for segment in segments if "\n" in source.text[segment.start : segment.end].rstrip()]

    def reports(self) -> list[DiagnosticReport]:
        orders, general = self._orders()
        if not orders:
            draft = Draft(self.source, self.header.raw(9))
            draft.problem("no_result", f"{self.header.raw(9) or 'a message'} without results", self._span(self.header))
            return [draft.report(FORMAT)]
        return [self._report(order, general, first=order is orders[0]) for order in orders]

    def _orders(self) -> tuple[list[_Order], list[str]]:
        orders: list[_Order] = []
        general: list[str] = []
        for segment in self.segments:
            if segment.name == "OBR":
                orders.append(_Order(segment))
            elif segment.name == "OBX":
                orders = orders or [_Order(None)]
                orders[-1].results.append(_Result(segment))
            elif segment.name == "NTE":
                held = orders[-1].results[-1] if orders and orders[-1].results else orders[-1] if orders else None
                (held.comments if held else general).append(segment.text(3))
            elif segment.name == "SPM" and orders:
                orders[-1].comments += [f"Specimen: {words}" for number in (4, 24) if (words := _words(segment, number))]
        return orders, general

    def _report(self, order: _Order, general: list[str], *, first: bool) -> DiagnosticReport:
        segment = order.segment
        draft = Draft(self.source, _named(segment, 4)[2] if segment else "")
        draft.comments += [comment for comment in (*general, *order.comments) if comment.strip()]
        if segment:
            draft.comments += [f"Specimen: {_words(segment, 15)}"] if segment.raw(15) else []
            draft.comments += [f"Clinical information: {_words(segment, 13)}"] if segment.raw(13) else []
        whole = cast(Status, content("hl7v2.yaml")["report_status"].get(segment.first(25), "unknown")) if segment else "unknown"
        self._results(draft, order.results, whole)
        if first:
            self._unread(draft)
        patient = self._patient(draft) if self.patient_segment else Person()
        section = segment.first(24) if segment else ""
        return draft.report(
            FORMAT,
            cast(Kind | None, content("hl7v2.yaml")["kinds"].get(section)),
            id=(segment.first(3) or segment.first(2)) if segment else "",
            status=whole,
            time=self._time(draft, segment, 7) if segment else None,
            issued=(segment and hl7_time(segment.first(22))) or hl7_time(self.header.first(7)),
            patient=patient,
            device=next((device for result in order.results if (device := _device(result.segment))), ""),
        )

    def _unread(self, draft: Draft) -> None:
        for segment in self.unread:
            draft.problem("not_read", f"{segment.name}: {segment.encoding.field.join(segment.fields[1:])[:200]}", self._span(segment))
        for segment in self.broken:
            draft.problem("broken_segment", f"{segment.path} has line breaks inside, or lines that begin no segment", self._span(segment))

    # --- results ------------------------------------------------------------------------------------------------------------------------

    def _results(self, draft: Draft, results: list[_Result], whole: Status) -> None:
        displays: list[tuple[str, list[tuple[str, str]], Segment]] = []
        for result in self._current(draft, results):
            segment = result.segment
            status = cast(Status, content("hl7v2.yaml")["result_status"].get(segment.first(11), whole))
            if status == "cancelled":
                detail = f"{_named(segment, 3)[2]}: {_words(segment, 5) or 'no value'} (OBX-11 is {segment.first(11)})"
                draft.problem("cancelled", detail, self._span(segment))
            elif form := _display_form(segment):
                displays.append((form, self._display(draft, form, segment), segment))
                draft.comments += result.comments
            else:
                self._result(draft, result, status)
        coded = any(finding.value is not None for finding in draft.findings)
        for form, parts, segment in displays:
            if coded:
                draft.comments += [text for _, text in parts]
                continue
            for label, text in parts:
                place = (
                    self.source.span(f"{segment.path} {label}".strip(), segment.start, segment.end)
                    if form == "pdf"
                    else self._span(segment)
                )
                add_statements(draft, text, lambda *_, place=place: place)

    def _current(self, draft: Draft, results: list[_Result]) -> list[_Result]:
        """Results without those that a later one of the same code and sub-id corrects; successive lines of one text are one result."""
        kept: dict[tuple[str, ...], _Result] = {}
        for place, result in enumerate(results):
            segment = result.segment
            key: tuple[str, ...] = (segment.first(3), segment.first(3, 3), segment.raw(4))
            before = kept.get(key)
            if (
                before
                and segment.first(2) in _WORDS
                and before.segment.first(2) in _WORDS
                and segment.first(11) == before.segment.first(11)
            ):
                before.more.append(segment)
                before.comments += result.comments
            elif before and (segment.first(11) in ("C", "D", "W") or before.segment.first(11) in ("P", "R", "S", "I")):
                detail = f"{_named(segment, 3)[2]}: {_words(before.segment, 5)} gave way to {_words(segment, 5)}"
                draft.problem("superseded", detail, self._span(before.segment))
                kept[key] = result
            else:
                kept[(*key, str(place)) if before else key] = result
        return list(kept.values())

    def _result(self, draft: Draft, result: _Result, status: Status) -> None:
        segment = result.segment
        code, system, name = _named(segment, 3)
        more = {
            "code": code,
            "system": system,
            "flag": " ".join(parts[0] for parts in segment.repeats(8)).strip(),
            "status": status,
            "time": self._time(draft, segment, 14),
            "device": _device(segment),
            "method": _words(segment, 17),
            "comments": tuple(comment for comment in result.comments if comment.strip()),
        }
        kind, written, unit = segment.first(2), _words(segment, 5), segment.first(6)
        if kind == "SN" or segment.first(5) in ("<", ">", "<=", ">="):
            self._structured(draft, name, segment, **more)
        elif kind in _WORDS or (kind != "NM" and len(written) > 64):
            lines = "\n".join(one.text(5) for one in (segment, *result.more))
            draft.statement(name, lines, self._span(segment, *result.more), **more)
            if number(written) is not None and not result.more:
                draft.findings.pop()
                draft.result(name, written, unit, self._span(segment), limits=segment.first(7), **more)
        elif kind in ("RP", "ED"):
            draft.problem("not_read", f"{name}: {kind} {segment.raw(5)[:80]}", self._span(segment))
        elif kind in _CODED and written:
            draft.statement(name, f"{name} {written}", self._span(segment), written_value=written, **more)
        else:
            draft.result(name, written, unit, self._span(segment), limits=segment.text(7), numeric=kind == "NM" and bool(written), **more)

    def _structured(self, draft: Draft, name: str, segment: Segment, **more: Any) -> None:
        """A structured numeric value (SN): comparator, number, separator, second number."""
        comparator, first, separator, second = [*(part.strip() for part in (segment.repeats(5) or [[]])[0][:4]), "", "", "", ""][:4]
        unit = segment.first(6)
        if separator or second or comparator not in ("", "<", ">", "<=", ">="):
            draft.statement(name, f"{name} {comparator}{first}{separator}{second} {unit}".strip(), self._span(segment), **more)
        else:
            compared = cast(Comparator, comparator)
            draft.result(name, first, unit, self._span(segment), limits=segment.text(7), comparator=compared, numeric=bool(first), **more)

    def _display(self, draft: Draft, form: str, segment: Segment) -> list[tuple[str, str]]:
        """Texts of a display segment with the page that each is from."""
        parts = segment.repeats(5)[0] if segment.first(2) == "ED" and segment.raw(5) else []
        content: str | bytes = segment.text(5)
        try:
            if parts:
                encoding = parts[3].lower() if len(parts) > 3 else ""
                data = "".join(parts[4:5]).encode("ascii", "replace")
                content = {"base64": base64.b64decode, "hex": binascii.unhexlify}.get(encoding, bytes)(data)
            if form == "pdf":
                return [
                    (f"page {page}", text)
                    for page, text in pages(content if isinstance(content, bytes) else content.encode(), self.source.name)
                ]
        except (ValueError, ReportError) as error:
            draft.problem("bad_display", f"{form.upper()} display: {error}", self._span(segment))
            return []
        text = decoded(content, self.source.name).text if isinstance(content, bytes) else content
        return [("", {"rtf": from_rtf, "html": from_html, "pit": from_pit}.get(form, str)(text))]

    # --- the rest -----------------------------------------------------------------------------------------------------------------------

    def _patient(self, draft: Draft) -> Person:
        segment = self.patient_segment
        assert segment is not None
        span = self._span(segment)
        found = [
            (
                str(content("hl7v2.yaml")["identifiers"].get(parts[4].upper(), parts[4].lower())) if len(parts) > 4 and parts[4] else "id",
                parts[0],
            )
            for number in (3, 2, 4)
            for parts in segment.repeats(number)
        ]
        found += [("medicare", segment.first(19))] if segment.raw(19) else []
        born = hl7_time(segment.first(7))
        if segment.first(7) and not born:
            draft.problem("bad_date", f"date of birth {segment.first(7)!r}", span)
        return Person(
            identifiers=identified(draft, found, span),
            family=segment.first(5),
            given=" ".join(filter(None, (segment.first(5, 2), segment.first(5, 3)))),
            birth_date=born.date() if born else day_of(segment.first(7)),
            sex=content("hl7v2.yaml")["sex"].get(segment.first(8).upper(), "unknown"),
        )

    def _time(self, draft: Draft, segment: Segment, number: int) -> Any:
        written = segment.first(number)
        moment = hl7_time(written)
        if written and not moment:
            draft.problem("bad_date", f"{segment.name}-{number} is {written[:40]!r}", self._span(segment))
        return moment

    def _span(self, *segments: Segment) -> Span:
        return self.source.span(segments[0].path, segments[0].start, segments[-1].end)


def _named(segment: Segment, number: int) -> tuple[str, str, str]:
    """Code, coding system and name of a coded field; LOINC before any other coding."""
    parts = [*segment.repeats(number)[0], *[""] * 6] if segment.raw(number) else [""] * 6
    codings = [tuple(part.strip() for part in parts[place : place + 3]) for place in (0, 3)]
    code, name, system = next((coding for coding in codings if coding[2].upper() in ("LN", "LOINC")), codings[0])
    said = codings[0][1] or codings[1][1] or name or code
    return code, "loinc" if system.upper() in ("LN", "LOINC") else system if code else "", said


def _words(segment: Segment, number: int) -> str:
    """A field as people read it: the text of a coded value, else all of it; its repeats are lines."""
    coded = segment.first(2) in _CODED or number != 5 or segment.name != "OBX"
    lines = [(parts[1] if len(parts) > 1 and parts[1] else parts[0]) if coded else " ".join(parts) for parts in segment.repeats(number)]
    return "\n".join(lines).strip()


def _device(segment: Segment) -> str:
    return " ".join(part for part in (segment.repeats(18) or [[]])[0][:2] if part)


def _display_form(segment: Segment) -> str:
    """How a display segment is written, or "" for a result."""
    known = cast(dict[str, str], content("hl7v2.yaml")["displays"])
    code, system = segment.first(3).upper(), segment.first(3, 3).upper()
    if system == "AUSPDI" or (code in known and segment.first(2) in ("FT", "TX", "ED", "ST")):
        return known.get(code, "text")
    return known.get(segment.first(5, 3).upper(), known.get(segment.first(5, 2).upper(), "")) if segment.first(2) == "ED" else ""
