"""PDF reports: the text layer, page by page. A scanned page without one is a problem, never a guess."""

from __future__ import annotations

import io
import logging

from bedside.reports.model import DiagnosticReport, Span
from bedside.reports.readers.people import finished
from bedside.reports.readers.source import Draft, ReportError, Source
from bedside.reports.readers.statements import MAX_CHARACTERS, add_statements

FORMAT = "pdf"
MAX_PAGES = 200


def sniff(head: bytes, name: str) -> bool:
    """Whether a PDF header stands in its first kilobyte."""
    return b"%PDF-" in head[:1024]


def read(data: bytes, name: str) -> list[DiagnosticReport]:
    """The one report of a PDF file.

    Raises:
        ReportError: it is broken, locked, or has no text at all.
    """
    draft = Draft(Source(name, ""))
    headers: dict[str, str] = {}
    found = pages(data, name)
    draft.title = next((line.strip() for _, text in found for line in text.splitlines() if line.strip()), "")[:80]
    for number, text in found:
        if not text.strip():
            draft.problem("no_text", f"page {number} has no text layer; it may be a scan", draft.source.span(f"page {number}"))
            continue

        def place(start: int, end: int, number: int = number, text: str = text) -> Span:
            return draft.source.span(f"page {number} line {text.count(chr(10), 0, start) + 1}")

        headers = {**add_statements(draft, text, place), **headers}
    if not draft.findings:
        raise ReportError(f"{name} has no text that can be read", "Ask the sender for the report as text, HL7 or FHIR; a scan is not read")
    return [finished(draft, FORMAT, headers)]


def pages(data: bytes, name: str) -> list[tuple[int, str]]:
    """Number (from 1) and text of each page.

    Raises:
        ReportError: it is no PDF that can be read, is locked, or has too many pages or too much text.
    """
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # broken files are told of by their problems
    try:
        document = pypdf.PdfReader(io.BytesIO(data))
        if document.is_encrypted and not document.decrypt(""):
            raise ReportError(f"{name} is locked by a password", "Save it without one")
        if len(document.pages) > MAX_PAGES:
            raise ReportError(f"{name} has {len(document.pages)} pages; at most {MAX_PAGES} are read", "Split it into single reports")
        texts: list[tuple[int, str]] = []
        for number, page in enumerate(document.pages, 1):
            texts.append((number, page.extract_text().replace("\r", "\n")))
            if sum(len(text) for _, text in texts) > MAX_CHARACTERS:
                raise ReportError(f"{name} has more than {MAX_CHARACTERS:,} characters of text", "Split it into single reports")
        return texts
    except ReportError:
        raise
    except Exception as error:  # the library raises whatever a broken file makes it stumble over
        raise ReportError(f"{name} is no PDF that can be read ({type(error).__name__})", "Have it sent again") from error
