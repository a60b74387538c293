"""Tables as rows of text with their places: CSV and its kin, and the sheets of an XLSX workbook."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from bedside.reports.model import Span
from bedside.reports.readers.source import ReportError, Source, decoded

MAX_ROWS = 200_000
MAX_COLUMNS = 256
MAX_EXPANDED = 64 * 1024 * 1024
"""Bytes of a workbook when unpacked."""
_SAMPLE = 40
_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Row:
    """A row.

    Attributes:
        number: from 1, as a spreadsheet shows it.
        cells: stripped.
        span: its place.
    """

    number: int
    cells: tuple[str, ...]
    span: Span

    def cell(self, place: int | None) -> str:
        """A cell by its place from 0; "" where the row is too short or `place` is None."""
        return self.cells[place] if place is not None and place < len(self.cells) else ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table.

    Attributes:
        source: the file.
        rows: without empty ones.
        cut: rows whose quotes are not closed, or that were too long, with the reason.
    """

    source: Source
    rows: list[Row]
    cut: list[tuple[Span, str]]


def csv_grid(data: bytes, name: str) -> Grid:
    """The rows of a file of separated values; the separator is the one that most of the first lines have alike.

    Raises:
        ReportError: it is too large.
    """
    source = decoded(data, name)
    text = source.text
    places = [0]
    for line in io.StringIO(text, newline=""):
        places.append(places[-1] + len(line))
        if len(places) > MAX_ROWS:
            raise ReportError(f"{name} has more than {MAX_ROWS:,} lines", "Split it into shorter periods")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=False)
    rows: list[Row] = []
    cut: list[tuple[Span, str]] = []
    while True:
        first = reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return Grid(source, rows, cut)
        except csv.Error as error:
            cut.append(
                (
                    source.span(f"row {first + 1}", places[min(first, len(places) - 1)], places[min(reader.line_num, len(places) - 1)]),
                    str(error),
                )
            )
            continue
        last = min(reader.line_num, len(places) - 1)
        span = source.span(f"row {first + 1}", places[first], places[last])
        if last - first > 20:
            cut.append((span, "a quote is opened and not closed"))
        elif any(cell.strip() for cell in cells):
            if any(cells[MAX_COLUMNS:]):
                cut.append((span, f"{len(cells):,} columns; the first {MAX_COLUMNS} are read"))
            rows.append(Row(first + 1, tuple(cell.strip() for cell in cells[:MAX_COLUMNS]), span))


def workbook_grids(data: bytes, name: str) -> Iterator[Grid]:
    """The rows of each sheet; values as text, days and times in ISO 8601.

    Raises:
        ReportError: it is no workbook, or is too large when unpacked.
    """
    import openpyxl

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > MAX_EXPANDED:
            raise ReportError(f"{name} has {size:,} bytes when unpacked; at most {MAX_EXPANDED:,} are read", "Export a shorter period")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        for sheet in book.worksheets:
            sheet.reset_dimensions()
            source = Source(name, "")
            rows: list[Row] = []
            for number, values in enumerate(sheet.iter_rows(values_only=True, max_col=MAX_COLUMNS), 1):
                if number > MAX_ROWS:
                    raise ReportError(f"{name} has more than {MAX_ROWS:,} rows", "Export a shorter period")
                cells = tuple(_written(value) for value in values)
                if any(cells):
                    rows.append(Row(number, cells, source.span(f"{sheet.title} row {number}")))
            yield Grid(source, rows, [])
    except ReportError:
        raise
    except Exception as error:  # the library raises whatever a broken workbook makes it stumble over
        raise ReportError(f"{name} is no workbook that can be read ({type(error).__name__})", "Export it again, or as CSV") from error


def _delimiter(text: str) -> str:
    lines = [line for line in text[:20_000].splitlines()[:_SAMPLE] if line.strip()]
    return max(_DELIMITERS, key=lambda sign: (sum(line.count(sign) > 0 for line in lines), sum(line.count(sign) for line in lines)))


def _written(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, (datetime, date, time)) else str(value).strip()
