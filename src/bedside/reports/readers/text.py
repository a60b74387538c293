"""Plain-text reports: header lines about the person, result lines, and sections in words."""

from __future__ import annotations

import re

from bedside.reports.model import DiagnosticReport, Span
from bedside.reports.readers.people import finished
from bedside.reports.readers.source import Draft, ReportError, decoded
from bedside.reports.readers.statements import add_statements

FORMAT = "text"
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def sniff(head: bytes, name: str) -> bool:
    """Whether it is text at all: no control characters, and letters in it."""
    text = decoded(head, name).text
    return not _CONTROL.search(text) and bool(re.search(r"[^\W\d_]", text))


def read(data: bytes, name: str) -> list[DiagnosticReport]:
    """The one report of a text file.

    Raises:
        ReportError: it says nothing, or is longer than any report.
    """
    source = decoded(data, name)
    draft = Draft(source, next((line.strip() for line in source.text.splitlines() if line.strip()), "")[:80])
    if bad := _CONTROL.search(source.text):
        draft.problem("bad_encoding", f"U+{ord(bad.group()):04X}, which no text holds", source.span("", bad.start(), bad.end()))

    def place(start: int, end: int) -> Span:
        return source.span(f"line {source.text.count(chr(10), 0, start) + 1}", start, end)

    headers = add_statements(draft, source.text, place)
    if not draft.findings:
        raise ReportError(f"{name} is text in which nothing is reported", "Give a report of a device or laboratory")
    return [finished(draft, FORMAT, headers)]
