"""Blood pressures over time: exports of 24-hour monitors (ABPM) and lists from home.

Readings become the signals `systolic`, `diastolic`, `mean_arterial` (mm[Hg] or the unit of the table), `pulse` (/min), and `asleep` (1 asleep,
0 awake, as the device or the person noted it). A measurement that failed stands there as NaN, so that the share of valid ones can be told.
A list without times becomes findings, and so does a summary whose rows are means of 24 hours, day and night.
"""

from __future__ import annotations

import re

from bedside.reports.model import DiagnosticReport
from bedside.reports.readers.data import content
from bedside.reports.readers.grid import Grid, Row
from bedside.reports.readers.layouts import Layout, by_person, tell_cut, told_above
from bedside.reports.readers.people import finished
from bedside.reports.readers.series import Reading, add_signals, moments_of
from bedside.reports.readers.source import Draft
from bedside.reports.readers.statements import period_of
from bedside.reports.readers.values import number
from bedside.reports.units import unit_of

_BOTH = re.compile(r"\s*(\d{2,3})\s*/\s*(\d{2,3})\b.*")
_SIDES = ("systolic", "diastolic", "mean_arterial", "pulse")
_NAMES = {
    "systolic": "Systolic blood pressure",
    "diastolic": "Diastolic blood pressure",
    "mean_arterial": "Mean arterial pressure",
    "pulse": "Pulse",
}


def read(grid: Grid, layout: Layout) -> list[DiagnosticReport]:
    """One report a person."""
    return [_report(grid, layout, person, rows) for person, rows in by_person(grid, layout) if rows]


def _report(grid: Grid, layout: Layout, person: str, rows: list[Row]) -> DiagnosticReport:
    draft = Draft(grid.source, "Blood pressure")
    tell_cut(draft, grid)
    headers = told_above(grid, layout) | ({"mrn": person} if person else {})
    headers |= {"device": device} if (device := next((cell for row in rows if (cell := layout.cell(row, "device"))), "")) else {}
    units = {side: unit_of(layout.unit(side)) or ("/min" if side == "pulse" else "mm[Hg]") for side in _SIDES}
    values = [_values(draft, layout, row) for row in rows]
    means = [period_of(row.cell(0)) for row in rows]
    timed = [held for held in ("time", "day") if held in layout.columns and not (all(means) and layout.columns[held].place == 0)]
    if not timed:
        for row, found, mean in zip(rows, values, means, strict=True):
            for side in _SIDES:
                if found.get(side):
                    name = f"{mean} {side}" if mean and side in ("systolic", "diastolic") else _NAMES[side]
                    draft.result(name, found[side], layout.unit(side) or units[side], row.span)
        return finished(draft, "table", headers, "blood_pressure")
    written = [(" ".join(filter(None, (layout.cell(row, "day"), layout.cell(row, "time")))), row.span) for row in rows]
    readings = [
        Reading(span, text, moment, found) for (text, span), moment, found in zip(written, moments_of(draft, written), values, strict=True)
    ]
    add_signals(draft, readings, {**units, "asleep": "1"})
    first = min((signal.start for signal in draft.signals if signal.start), default=None)
    return finished(draft, "table", headers, "blood_pressure").model_copy(update={"time": first})


def _values(draft: Draft, layout: Layout, row: Row) -> dict[str, str]:
    """The written values of a row by signal; none where the measurement failed."""
    period = layout.cell(row, "period").lower()
    values = {"asleep": "1" if period in content("tables.yaml")["asleep"] else "0" if period in content("tables.yaml")["awake"] else ""}
    status = re.findall(r"[a-z0-9]+", layout.cell(row, "status").lower())
    values |= {side: layout.cell(row, side) for side in _SIDES}
    if found := _BOTH.fullmatch(layout.cell(row, "both")):
        values |= {"systolic": found[1], "diastolic": found[2]}
    said = number(values["systolic"])
    if (
        set(status) & set(content("tables.yaml")["failed"])
        or values["systolic"].lower() in content("tables.yaml")["failed"]
        or (said is not None and said.value <= 0)
    ):
        draft.problem("failed_measurement", layout.cell(row, "status") or f"systolic {values['systolic']!r}", row.span)
        return {"asleep": values["asleep"]}
    if not values["systolic"]:
        draft.problem("failed_measurement", "no systolic value", row.span)
    return values
