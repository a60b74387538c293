"""Which columns of a table hold what (`tables.yaml`), and what stands above them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bedside.knowledge.ucum import unit
from bedside.reports.readers.data import content
from bedside.reports.readers.grid import Grid, Row
from bedside.reports.readers.source import Draft
from bedside.reports.readers.statements import header_of

_UNIT = re.compile(r"[(\[]\s*(?P<unit>[^()\[\]]{1,20}(?:\[[^\]]*\])?)\s*[)\]]")
_APART = re.compile(r"[^a-z0-9%+]+")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its place from 0, its title, and the unit that its title names as it stands there."""

    place: int
    title: str
    unit: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table.

    Attributes:
        reader: who reads it: `glucose`, `pressure`, `spirometry`, `laboratory`.
        columns: by what they hold.
        titles: all columns, in order.
        header: place of the header among the rows.
    """

    reader: str
    columns: dict[str, Column]
    titles: tuple[Column, ...]
    header: int

    def cell(self, row: Row, held: str) -> str:
        """What a row has in a column; "" where the table has no such column."""
        return row.cell(self.columns[held].place) if held in self.columns else ""

    def unit(self, held: str) -> str:
        """The unit in a column's title."""
        return self.columns[held].unit if held in self.columns else ""


def layout_of(grid: Grid) -> Layout | None:
    """The layout of a table; None where no row of its top names known columns."""
    for place, row in enumerate(grid.rows[: content("tables.yaml")["rows_before_header"]]):
        if len(row.cells) < 2:  # a heading in a text, such as "Systolic   Diastolic"
            continue
        titles = tuple(_column(place_, cell) for place_, cell in enumerate(row.cells))
        plain = {_plain(column.title): column for column in reversed(titles) if column.title}
        for entry in content("tables.yaml")["layouts"]:
            found = {held: next((plain[name] for name in names if name in plain), None) for held, names in entry["columns"].items()}
            columns = {held: column for held, column in found.items() if column}
            if columns.keys() >= set(entry["needs"]) and (not entry.get("any") or columns.keys() & set(entry["any"])):
                return Layout(entry["reader"], columns, titles, place)
    return None


def told_above(grid: Grid, layout: Layout) -> dict[str, str]:
    """What the rows above the header tell, as `label, value` pairs or `label: value`."""
    told: dict[str, str] = {}
    for row in grid.rows[: layout.header]:
        cells = [part.strip() for cell in row.cells for part in cell.split(":", 1)] if ":" in row.cells[0] else list(row.cells)
        for label, value in pairwise(cells):
            if value and (what := header_of(label)):
                told.setdefault(what, value)
    return told


def by_person(grid: Grid, layout: Layout) -> Iterator[tuple[str, list[Row]]]:
    """The rows below the header by the person that they name; one person "" where no column names any."""
    rows: dict[str, list[Row]] = {}
    for row in grid.rows[layout.header + 1 :]:
        rows.setdefault(layout.cell(row, "person"), []).append(row)
    yield from rows.items()


def tell_cut(draft: Draft, grid: Grid) -> None:
    """Tells of rows that could not be read."""
    for span, reason in grid.cut:
        draft.problem("bad_row", reason, span)


def _column(place: int, cell: str) -> Column:
    """A column by its title: the unit stands in brackets or is the last word."""
    if found := _UNIT.search(cell):
        written = found["unit"].strip()
        return Column(place, cell.replace(found.group(), " ").strip(), written) if unit(written) else Column(place, cell, "")
    words = cell.rsplit(maxsplit=1)
    if (
        len(words) == 2
        and len(words[1]) > 1
        and words[1] != "z"
        and unit(words[1])
        and not words[1].lower().startswith(("z", "%pred", "day"))
    ):
        return Column(place, words[0], words[1])
    return Column(place, cell, "")


def _plain(title: str) -> str:
    return " ".join(_APART.sub(" ", title.lower()).split())
