"""Spirometry tables, one parameter a row or one session a row.

Findings are named by the parameter and what they are of it: `FEV1` (before a bronchodilator), `FEV1 post`, `FEV1 predicted`,
`FEV1 % predicted`, `FEV1 z-score`, `FEV1 change`. The lower limit of normal is the interval of the measured values. A quality grade is the
finding `Quality`.
"""

from __future__ import annotations

from typing import Any

from bedside.reports.model import DiagnosticReport, Interval
from bedside.reports.readers.data import content
from bedside.reports.readers.grid import Grid, Row
from bedside.reports.readers.layouts import Column, Layout, by_person, tell_cut, told_above
from bedside.reports.readers.people import finished
from bedside.reports.readers.series import moments_of
from bedside.reports.readers.source import Draft
from bedside.reports.readers.values import number

_SHOWN = {
    "pre": "{}",
    "post": "{} post",
    "predicted": "{} predicted",
    "percent": "{} % predicted",
    "post_percent": "{} post % predicted",
    "z": "{} z-score",
    "post_z": "{} post z-score",
    "change": "{} change",
}
_UNITS = {"percent": "%", "post_percent": "%", "z": "", "post_z": "", "change": "%"}
_METHODS = {"pre": "pre-bronchodilator", "post": "post-bronchodilator"}


def read(grid: Grid, layout: Layout) -> list[DiagnosticReport]:
    """One report a person."""
    return [_report(grid, layout, person, rows) for person, rows in by_person(grid, layout) if rows]


def _report(grid: Grid, layout: Layout, person: str, rows: list[Row]) -> DiagnosticReport:
    draft = Draft(grid.source, "Spirometry")
    tell_cut(draft, grid)
    headers = told_above(grid, layout) | ({"mrn": person} if person else {})
    if "measure" in layout.columns:
        for row in rows:
            parts = {held: (layout.cell(row, held), layout.unit(held) or layout.cell(row, "unit")) for held in (*_SHOWN, "lln")}
            _add(draft, layout.cell(row, "measure"), parts, row, both="post" in layout.columns)
            _quality(draft, layout.cell(row, "quality"), row)
        return finished(draft, "table", headers, "spirometry")
    columns = [(told, column) for column in layout.titles if (told := _told(column))]
    moments = moments_of(draft, [(layout.cell(row, "time"), row.span) for row in rows])
    for row, moment in zip(rows, moments, strict=True):
        measures: dict[str, dict[str, tuple[str, str]]] = {}
        for (measure, held), column in columns:
            measures.setdefault(measure, {})[held] = (row.cell(column.place), column.unit)
        for measure, parts in measures.items():
            _add(draft, measure.upper(), parts, row, both="post" in parts, time=moment)
        _quality(draft, layout.cell(row, "quality"), row, time=moment)
    first = min((moment for moment in moments if moment), default=None)
    report = finished(draft, "table", headers, "spirometry")
    return report.model_copy(update={"time": first}) if first else report


def _add(draft: Draft, measure: str, parts: dict[str, tuple[str, str]], row: Row, *, both: bool, **more: Any) -> None:
    limit = parts.get("lln", ("", ""))[0]
    said = number(limit)
    if limit and said is None:
        draft.problem("bad_number", f"{measure}: lower limit {limit[:40]!r} is no number", row.span)
    limits = Interval(low=said.value, text=f"LLN {limit}") if said else ""
    for held, shown in _SHOWN.items():
        written, unit = parts.get(held, ("", ""))
        if written:
            measured = held in _METHODS
            draft.result(
                shown.format(measure),
                written,
                _UNITS.get(held, unit),
                row.span,
                limits=limits if measured else "",
                numeric=True,
                method=_METHODS[held] if measured and both else "",
                **more,
            )


def _quality(draft: Draft, grade: str, row: Row, **more: Any) -> None:
    if grade and not any(finding.name == "Quality" and finding.text == grade for finding in draft.findings[-20:]):
        draft.statement("Quality", grade, row.span, **more)


def _told(column: Column) -> tuple[str, str] | None:
    """Parameter and what of it a column holds, such as `fev1` and `predicted`; None for other columns."""
    title = " ".join(column.title.lower().replace("_", " ").replace("-", " ").split())
    words = [word for word in title.split() if word not in ("pre", "best", "bd", "bronchodilator")]
    measure = next((name for name in content("tables.yaml")["spirometry_measures"] if name.replace("-", " ") in " ".join(words)), None)
    if measure is None:
        return None
    rest_words = " ".join(words).replace(measure.replace("-", " "), " ").split()
    post = "post" in rest_words
    rest = " ".join(word for word in rest_words if word != "post")
    qualifier = next((held for held, names in content("tables.yaml")["spirometry_qualifiers"].items() if rest in names), None)
    if qualifier is None and column.unit == "%" and not rest and measure != "fev1/fvc":
        qualifier = "percent"
    if rest and qualifier is None:
        return None
    held = {("percent", True): "post_percent", ("z", True): "post_z"}.get((qualifier or "", post), qualifier or ("post" if post else "pre"))
    return measure, held
