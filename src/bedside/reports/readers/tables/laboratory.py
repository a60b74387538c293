"""Results one a row: test, value, unit, interval, flag."""

from __future__ import annotations

from typing import cast

from bedside.reports.model import DiagnosticReport, Interval, Status
from bedside.reports.readers.grid import Grid, Row
from bedside.reports.readers.layouts import Layout, by_person, tell_cut, told_above
from bedside.reports.readers.people import finished
from bedside.reports.readers.series import moments_of
from bedside.reports.readers.source import Draft
from bedside.reports.readers.values import number

_STATUSES: dict[str, Status] = {
    "p": "preliminary",
    "preliminary": "preliminary",
    "interim": "preliminary",
    "c": "corrected",
    "corrected": "corrected",
    "amended": "corrected",
    "x": "cancelled",
    "cancelled": "cancelled",
}


def read(grid: Grid, layout: Layout) -> list[DiagnosticReport]:
    """One report a person."""
    return [_report(grid, layout, person, rows) for person, rows in by_person(grid, layout) if rows]


def _report(grid: Grid, layout: Layout, person: str, rows: list[Row]) -> DiagnosticReport:
    draft = Draft(grid.source, "Results")
    tell_cut(draft, grid)
    headers = told_above(grid, layout) | ({"mrn": person} if person else {})
    moments = moments_of(draft, [(layout.cell(row, "time"), row.span) for row in rows])
    for row, moment in zip(rows, moments, strict=True):
        name, written = layout.cell(row, "name"), layout.cell(row, "value")
        status = _STATUSES.get(layout.cell(row, "status").lower(), "final")
        if status == "cancelled" or not (name and written):
            draft.problem("cancelled" if status == "cancelled" else "no_value", f"{name or 'a row'}: {written or 'no value'}", row.span)
            continue
        loinc = layout.cell(row, "code")
        draft.result(
            name,
            written,
            layout.cell(row, "unit") or layout.unit("value"),
            row.span,
            limits=_limits(layout, row),
            code=loinc or layout.cell(row, "own_code"),
            system="loinc" if loinc else "local" if layout.cell(row, "own_code") else "",
            flag=layout.cell(row, "flag"),
            status=cast(Status, status),
            time=moment,
            method=layout.cell(row, "method"),
            device=layout.cell(row, "device"),
            comments=tuple(filter(None, (layout.cell(row, "comment"),))),
        )
    first = min((moment for moment in moments if moment), default=None)
    report = finished(draft, "table", headers)
    return report.model_copy(update={"time": first}) if first else report


def _limits(layout: Layout, row: Row) -> str | Interval:
    low, high = layout.cell(row, "low"), layout.cell(row, "high")
    if layout.cell(row, "limits") or not (low or high):
        return layout.cell(row, "limits")
    ends = [said.value if (said := number(end)) else None for end in (low, high)]
    return Interval(low=ends[0], high=ends[1], text=f"{low} - {high}")
