"""GDT, the German exchange format between devices and practice software (versions 2.1 and 3.x), set 6310: results of a test.

A line is three digits of length, four digits of field, the content, and a line end; the length counts all of it, in bytes. Fields 8410 to
8480 describe one result each time that 8410 comes. A length that is wrong is a problem; the line is read all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from bedside.reports.model import DiagnosticReport, Kind, Person, Span, Status
from bedside.reports.readers.data import content
from bedside.reports.readers.people import identified
from bedside.reports.readers.source import Draft, ReportError, Source, decoded
from bedside.reports.readers.values import day_of

FORMAT = "gdt"
_LINE = re.compile(r"(?P<length>\d{3})(?P<field>\d{4})(?P<content>.*)")
_HEAD = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*\d{3}8000\d{4}\s*\r?\n")
_MAX_LINES = 50_000


def sniff(head: bytes, name: str) -> bool:
    """Whether its first line is field 8000 with a kind of set."""
    return bool(_HEAD.match(head))


@dataclass(frozen=True, slots=True)
class _Line:
    field: str
    content: str
    span: Span


@dataclass
class _Test:
    """One result: its fields by number, in the order of the file."""

    span: Span
    fields: dict[str, list[str]] = field(default_factory=dict)
    end: int = 0

    def one(self, number: str) -> str:
        return self.fields.get(number, [""])[0]


def read(data: bytes, name: str) -> list[DiagnosticReport]:
    """One report a set 6310.

    Raises:
        ReportError: no set of the file holds results.
    """
    source = decoded(data, name)
    encoding = "utf-8" if source.text.isascii() else _encoding(data, source.text)
    draft = Draft(source)
    sets: list[list[_Line]] = []
    for line in _lines(source, draft, encoding):
        if line.field == "8000" or not sets:
            sets.append([])
        sets[-1].append(line)
    results = [lines for lines in sets if lines[0].field == "8000" and lines[0].content.strip() in content("gdt.yaml")["result_sets"]]
    if not results:
        kinds = {content("gdt.yaml")["other_sets"].get(lines[0].content.strip(), f"set {lines[0].content.strip()[:8]}") for lines in sets}
        raise ReportError(
            f"{name} holds no results (set 6310) but {', '.join(sorted(kinds)) or 'nothing'}", "Let the device send its results"
        )
    reports = [_report(source, lines) for lines in results]
    return [reports[0].model_copy(update={"problems": (*draft.problems, *reports[0].problems)}), *reports[1:]]


def _lines(source: Source, draft: Draft, encoding: str) -> Iterator[_Line]:
    for number, found in enumerate(re.finditer(r"[^\r\n]+", source.text), 1):
        if number > _MAX_LINES:
            raise ReportError(f"{source.name} has more than {_MAX_LINES:,} lines", "Split it into single tests")
        span = source.span(f"line {number}", found.start(), found.end())
        line = _LINE.fullmatch(found.group())
        if not line:
            draft.problem("bad_line", f"{found.group()[:60]!r} is no GDT line", span)
            continue
        length = len(found.group().encode(encoding, "replace")) + 2
        if int(line["length"]) not in (length, len(found.group()) + 2):
            draft.problem("bad_length", f"field {line['field']}: {line['length']} is stated, the line has {length:03}", span)
        yield _Line(line["field"], line["content"].strip(), span.model_copy(update={"path": f"{line['field']} (line {number})"}))


def _encoding(data: bytes, text: str) -> str:
    """The encoding in which the text has as many bytes as the file."""
    return "utf-8" if len(text.encode("utf-8", "replace")) >= len(data.removeprefix(b"\xef\xbb\xbf")) else "cp1252"


def _report(source: Source, lines: list[_Line]) -> DiagnosticReport:
    whole: dict[str, str] = {}
    for line in lines:
        whole.setdefault(line.field, line.content)
    draft = Draft(source, whole.get("8411", "") if "8410" not in whole else whole.get("8402", ""))
    tests: list[_Test] = []
    texts: dict[str, list[_Line]] = {}
    for line in lines:
        if line.field == "8410":
            tests.append(_Test(line.span))
        if line.field in content("gdt.yaml")["statements"] and (line.field != "8480" or not tests):
            texts.setdefault(line.field, []).append(line)
        elif tests and line.field.startswith("84") and line.field not in ("8401", "8402"):
            tests[-1].fields.setdefault(line.field, []).append(line.content)
            tests[-1].span = tests[-1].span.model_copy(update={"end": line.span.end})
        elif line.field in content("gdt.yaml")["files"]:
            draft.problem("not_read", f"attached file, field {line.field}: {line.content}", line.span)
        elif not (line.field in content("gdt.yaml")["known"] or _free_category(line.field)):
            draft.problem("not_read", f"field {line.field}: {line.content}", line.span)
    whole_status = cast(Status, content("gdt.yaml")["report_status"].get(whole.get("8401", ""), "unknown"))
    moment = _time(draft, whole.get("6200") or whole.get("8432", ""), whole.get("6201") or whole.get("8439", ""), lines[0].span)
    for test in tests:
        _add_test(draft, test, whole_status, moment)
    for number, said in texts.items():
        span = said[0].span.model_copy(update={"end": said[-1].span.end})
        draft.statement(content("gdt.yaml")["statements"][number], "\n".join(line.content for line in said), span, time=moment)
    _add_free(draft, lines)
    kind = next(
        (kind for prefix, kind in content("gdt.yaml")["test_kinds"].items() if whole.get("8402", "").upper().startswith(prefix)), None
    )
    return draft.report(
        FORMAT,
        cast(Kind | None, kind),
        status=whole_status,
        id=whole.get("8310", ""),
        time=moment,
        patient=_person(draft, whole, lines[0].span),
        device=" ".join(filter(None, (whole.get("0103") or whole.get("8316") or whole.get("9106", ""), whole.get("0132", "")))),
    )


def _add_test(draft: Draft, test: _Test, whole_status: Status, moment: datetime | None) -> None:
    name = test.one("8411") or test.one("8410")
    status = cast(
        Status, content("gdt.yaml")["result_status"].get(test.one("8418"), "final" if whole_status == "unknown" else whole_status)
    )
    comments = tuple(test.fields.get("8470", ()))
    if status == "cancelled":
        draft.problem("cancelled", f"{name}: field 8418 says that the value is missing", test.span)
        return
    low, high = test.one("8461"), test.one("8462")
    limits = "\n".join(test.fields.get("8460", ())) or (
        f"{low} - {high}" if low and high else f">= {low}" if low else f"<= {high}" if high else ""
    )
    more: dict[str, Any] = {
        "code": test.one("8410"),
        "system": "gdt",
        "status": status,
        "flag": test.one("8422"),
        "comments": comments,
        "time": _time(draft, test.one("8432"), test.one("8439"), test.span) or moment,
    }
    for written in test.fields.get("8420", ()):
        draft.result(name, written, test.one("8421"), test.span, limits=limits, **more)
    if said := "\n".join(test.fields.get("8480", ())):
        draft.statement(name, said, test.span, **more)
    elif "8420" not in test.fields:
        draft.statement(name, f"{name}: no result", test.span, **more)


def _add_free(draft: Draft, lines: list[_Line]) -> None:
    """Free categories: fields 6330, 6332, … name what 6331, 6333, … say."""
    names = {line.field: line.content for line in lines}
    for line in lines:
        if _free_category(line.field) and int(line.field) % 2:
            name = names.get(f"{int(line.field) - 1}", f"Field {line.field}")
            draft.statement(name, line.content, line.span)


def _free_category(number: str) -> bool:
    return "6330" <= number <= "6399"


def _person(draft: Draft, whole: dict[str, str], span: Span) -> Person:
    born = day_of(re.sub(r"(\d\d)(\d\d)(\d{4})", r"\1.\2.\3", whole.get("3103", "")))
    if whole.get("3103") and not born:
        draft.problem("bad_date", f"date of birth (3103) {whole['3103'][:40]!r}", span)
    return Person(
        identifiers=identified(draft, [("mrn", whole.get("3000", ""))], span),
        family=whole.get("3101", ""),
        given=whole.get("3102", ""),
        birth_date=born,
        sex=content("gdt.yaml")["sex"].get(whole.get("3110", "").upper(), "unknown"),
    )


def _time(draft: Draft, day: str, clock: str, span: Span) -> datetime | None:
    """`DDMMYYYY` (also `YYYYMMDD` where only that is a day) and `HHMMSS`."""
    if not day:
        return None
    for order in ("%d%m%Y", "%Y%m%d"):
        try:
            moment = datetime.strptime(day, order)
        except ValueError:
            continue
        if found := re.fullmatch(r"([01]\d|2[0-3]):?([0-5]\d):?([0-5]\d)?", clock):
            return moment.replace(hour=int(found[1]), minute=int(found[2]), second=int(found[3] or 0))
        return moment
    draft.problem("bad_date", f"{day[:20]!r} is no day", span)
    return None
