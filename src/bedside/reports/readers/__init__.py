"""Readers: from the file of a device or laboratory to reports, whatever its format.

A format is a module of this package with two functions:

    sniff(head: bytes, name: str) -> bool                           whether a file that begins so is of this format
    read(data: bytes, name: str) -> list[DiagnosticReport]          its reports; ReportError where it holds none

and, where a report is several files, `read_path(path: Path)`. Formats are asked in the order of `FORMATS`, the strictest first. What is wrong inside of a report becomes one of its problems.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from bedside.reports.model import DiagnosticReport, Span
from bedside.reports.readers.source import MAX_BYTES, ReportError, decoded
from bedside.reports.readers.superseding import supersede

__all__ = ["FORMATS", "ReportError", "excerpt", "read_report", "supersede"]

FORMATS = ("pdf", "dicom", "scp_ecg", "aecg", "hl7v2", "fhir", "gdt", "wfdb_record", "table", "log_lines", "text")
"""Modules of this package, in the order in which they are asked."""
_HEAD = 64 * 1024


class Format(Protocol):
    """What a format's module has."""

    def sniff(self, head: bytes, name: str) -> bool:
        """Whether a file that begins with `head` is of this format."""

    def read(self, data: bytes, name: str) -> list[DiagnosticReport]:
        """The reports of a file.

        Raises:
            ReportError: it holds none.
        """

    def read_path(self, path: Path) -> list[DiagnosticReport]:
        """The reports of a file and of those beside it that belong to it; only some formats have this.

        Raises:
            ReportError: as `read`.
        """


def read_report(source: Path | bytes, name: str = "") -> list[DiagnosticReport]:
    """The reports of a file, by its content; its name helps only where formats look alike.

    Args:
        source: the file, or its content.
        name: of the file, for places and messages; a path has its own.

    Raises:
        ReportError: it cannot be read, is too large, or is of no format that is known, or holds no report.
    """
    if isinstance(source, Path):
        name = name or source.name
        try:
            if source.stat().st_size > MAX_BYTES:
                raise ReportError(
                    f"{source} has {source.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read", "Split it into single reports"
                )
            data = source.read_bytes()
        except OSError as error:
            raise ReportError(f"{source} cannot be read ({error.strerror or error})", "Check its path and its permissions") from error
    else:
        name, data = name or "report", source
    if len(data) > MAX_BYTES:
        raise ReportError(f"{name} has {len(data):,} bytes; at most {MAX_BYTES:,} are read", "Split it into single reports")
    if not data.strip():
        raise ReportError(f"{name} is empty", "Have it sent again")
    head = data[:_HEAD]
    for module in FORMATS:
        format = cast(Format, import_module(f"bedside.reports.readers.{module}"))
        if format.sniff(head, name):
            return format.read_path(source) if isinstance(source, Path) and hasattr(format, "read_path") else format.read(data, name)
    raise ReportError(f"{name} is of no format that is known; it begins with {head[:16]!r}", f"Give one of {', '.join(FORMATS)}")


def excerpt(data: bytes, span: Span) -> str:
    """The text of a file at a place, as findings point to it; "" where its format has no such places."""
    if span.start is None or span.end is None:
        return ""
    return decoded(data, span.file).text[span.start : span.end]
