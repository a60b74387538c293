"""Tables of devices and laboratories: CSV and XLSX of glucose sensors, blood-pressure monitors, spirometers and results."""

from __future__ import annotations

from collections.abc import Callable

from bedside.reports.model import DiagnosticReport
from bedside.reports.readers.grid import Grid, csv_grid, workbook_grids
from bedside.reports.readers.layouts import Layout, layout_of
from bedside.reports.readers.source import ReportError
from bedside.reports.readers.tables import glucose, laboratory, pressure, spirometry

_READERS: dict[str, Callable[[Grid, Layout], list[DiagnosticReport]]] = {
    "glucose": glucose.read,
    "pressure": pressure.read,
    "spirometry": spirometry.read,
    "laboratory": laboratory.read,
}
_ZIP = b"PK\x03\x04"


def sniff(head: bytes, name: str) -> bool:
    """Whether it is a workbook, or separated values below a header that is known."""
    if head.startswith(_ZIP):
        return b"[Content_Types].xml" in head or b"xl/" in head or name.lower().endswith(".xlsx")
    return b"\0" not in head.removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")[:1] and layout_of(csv_grid(head, name)) is not None


def read(data: bytes, name: str) -> list[DiagnosticReport]:
    """The reports of a table: one a person, and one a sheet of a workbook.

    Raises:
        ReportError: no table of the file has columns that are known, or it is too large.
    """
    grids = list(workbook_grids(data, name)) if data.startswith(_ZIP) else [csv_grid(data, name)]
    reports = [report for grid in grids if (layout := layout_of(grid)) for report in _READERS[layout.reader](grid, layout)]
    if not reports:
        top = "; ".join(", ".join(cell for cell in grid.rows[0].cells if cell)[:120] for grid in grids if grid.rows)
        raise ReportError(
            f"{name} has no columns that are known; it begins with {top or 'nothing'}", "Name the columns, such as test, value, unit"
        )
    return reports
