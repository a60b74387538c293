"""Exports of glucose sensors: Dexcom Clarity, LibreView, and plain lists of times and values.

Readings become signals in the unit of the export: `glucose` (what the sensor stored), `glucose_scan`, `glucose_strip` (finger pricks) and
`ketone`. What lies beyond the sensor's limits stands at the limit (`beyond` in `tables.yaml`), and is told.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from bedside.knowledge.ucum import convert
from bedside.reports.model import DiagnosticReport, Span
from bedside.reports.readers.data import content
from bedside.reports.readers.grid import Grid, Row
from bedside.reports.readers.layouts import Layout, by_person, tell_cut, told_above
from bedside.reports.readers.people import finished
from bedside.reports.readers.series import Reading, add_signals, moments_of
from bedside.reports.readers.source import Draft
from bedside.reports.readers.values import number
from bedside.reports.units import analyte_of, unit_of

_MOST_MMOL = 40.0
"""No sensor shows more than 27.8 mmol/L (500 mg/dL), and none less than 40 mg/dL."""


def read(grid: Grid, layout: Layout) -> list[DiagnosticReport]:
    """One report a person."""
    return [_report(grid, layout, person, rows) for person, rows in by_person(grid, layout) if rows]


def _report(grid: Grid, layout: Layout, person: str, rows: list[Row]) -> DiagnosticReport:
    draft = Draft(grid.source, "Glucose sensor")
    tell_cut(draft, grid)
    headers = told_above(grid, layout) | ({"mrn": person} if person else {})
    written: list[tuple[str, Span]] = []
    values: list[tuple[str, str]] = []
    left: Counter[str] = Counter()
    for row in rows:
        found = list(_values(layout, row, headers))
        if not found and layout.cell(row, "event").lower() not in (*content("tables.yaml")["dexcom"]["person"], "device"):
            left[layout.cell(row, "event") or "rows without a value"] += 1
        for signal, value in found:
            written.append((" ".join(filter(None, (layout.cell(row, "day"), layout.cell(row, "time")))), row.span))
            values.append((signal, value))
        if device := layout.cell(row, "device"):
            headers.setdefault("device", " ".join(filter(None, (device, layout.cell(row, "serial")))))
    for event, count in left.items():
        draft.problem("not_read", f"{event}: {count} rows", rows[0].span)
    readings: defaultdict[str, list[Reading]] = defaultdict(list)
    for (signal, value), (text, span), moment in zip(values, written, moments_of(draft, written), strict=True):
        readings[signal].append(Reading(span, text, moment, {signal: value}))
    for signal, found_readings in readings.items():
        unit = _unit(draft, layout, signal, rows, found_readings)
        beyond = {word: round(_from_mmol(limit, unit), 1) for word, limit in content("tables.yaml")["beyond"].items()}
        add_signals(draft, found_readings, {signal: unit}, beyond)
    first = min((signal.start for signal in draft.signals if signal.start), default=None)
    return finished(draft, "table", headers, "glucose").model_copy(update={"time": first})


def _values(layout: Layout, row: Row, headers: dict[str, str]) -> list[tuple[str, str]]:
    """Signal and written value of each reading in a row; rows about the person or the device go to `headers`."""
    dexcom = content("tables.yaml")["dexcom"]
    if "event" in layout.columns:
        event = layout.cell(row, "event").lower()
        if event in dexcom["person"] and layout.cell(row, "patient"):
            headers.setdefault(dexcom["person"][event], layout.cell(row, "patient"))
        signal = dexcom["readings"].get(event)
        return [(signal, value)] if signal and (value := layout.cell(row, "value")) else []
    return [(signal, value) for held, signal in content("tables.yaml")["glucose_columns"].items() if (value := layout.cell(row, held))]


def _unit(draft: Draft, layout: Layout, signal: str, rows: list[Row], readings: list[Reading]) -> str:
    """The unit that the title or a column says; else the one in which a sensor can show such values, which is told."""
    held = next((held for held, name in content("tables.yaml")["glucose_columns"].items() if name == signal), "value")
    stated = unit_of(layout.unit(held)) or next((code for row in rows if (code := unit_of(layout.cell(row, "unit")))), "")
    if stated:
        return stated
    found = sorted(said.value for reading in readings if (said := number(reading.values[signal])))
    unit = "mg/dL" if found and found[len(found) // 2] > _MOST_MMOL else "mmol/L"
    draft.problem(
        "unit_inferred",
        f"no unit is given; values about {found[len(found) // 2]:g} are in {unit}" if found else f"no unit; {unit}",
        readings[0].span,
    )
    return unit


def _from_mmol(value: float, unit: str) -> float:
    """A glucose value in mmol/L, in `unit`."""
    scaled = convert(value, "mmol/L", unit)
    glucose = analyte_of("glucose")
    factor = glucose.canonical(1.0, unit) if glucose and scaled is None else None
    return scaled if scaled is not None else value / factor if factor else value
