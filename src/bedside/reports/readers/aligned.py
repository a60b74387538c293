"""Results in aligned columns of plain text, as laboratories print them.

A header line names columns by the titles of laboratory tables (`tables.yaml`), or gives the days of a cumulative report; in the lines below
it, runs of blanks part the cells, and a cell belongs to the column that it stands under or nearest to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from bedside.reports.readers.data import content
from bedside.reports.readers.values import FLAG, NUMBER

_CELL = re.compile(r"[^\s|]+(?: [^\s|]+)*")
_APART = re.compile(r"[^a-z0-9]+")
_DAY = re.compile(r"([0-9]{1,2})[/. -]([0-9]{1,2}|[A-Za-z]{3})[/. -]([0-9]{4}|[0-9]{2})")
_MONTHS = "janfebmaraprmayjunjulaugsepoctnovdec"
_MOST_COLUMNS = 40
_LETTER = re.compile(r"[A-Za-z]")
_VALUE = re.compile(
    rf"(?:\d{{1,3}}(?:\.\d+)? ?% +)?(?P<before>{FLAG})? *(?P<written>(?:[<>]=?|[≤≥])? ?{NUMBER}) *(?P<after>{FLAG})?",
    re.IGNORECASE,
)
"""A number with its flag; a share in percent before it, as blood counts give it, is told by the line alone."""
_WORDS = re.compile(
    r"(?:not )?(?:detected|reactive|isolated|seen)|positive|negative|trace|nil|pending|normal|abnormal|equivocal|indeterminate",
    re.IGNORECASE,
)
_BOTH = re.compile(r"(?P<unit>\S+) *(?P<limits>[(\[].+[)\]])")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: what it says and where in its line it stands."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what it holds (`value`, `unit`, …; "" for what is not read), where its title stands, and the day of its values."""

    held: str
    start: int
    end: int
    day: datetime | None = None

    def distance(self, cell: Cell) -> tuple[int, int]:
        """How far a cell stands from under the title; cells under several titles belong to that with the nearest middle."""
        return max(0, self.start - cell.end, cell.start - self.end), abs(self.start + self.end - cell.start - cell.end)


@dataclass(frozen=True, slots=True)
class Row:
    """A result in a row: its parts as they were written, `written` a number or words; `earlier` are those of other days."""

    name: str
    written: str
    unit: str
    limits: str
    flag: str
    day: datetime | None
    is_number: bool
    earlier: tuple[str, ...] = ()


class Columns:
    """The columns of a text while it is read line by line."""

    def __init__(self) -> None:
        self._columns: tuple[Column, ...] = ()

    def header(self, line: str) -> bool:
        """Whether a line names columns; from it on, rows are read by them."""
        cells = _cells(line)
        if not 2 <= len(cells) <= _MOST_COLUMNS:
            return False
        found = tuple(_column(cell) for cell in cells)
        held = [column.held for column in found]
        days = [place for place, column in enumerate(found) if column.day]
        own = {"unit", "limits"} & set(held)
        side_by_side = len(days) > 1 and days[-1] - days[0] == len(days) - 1
        if side_by_side or (own and held.count("value") == 1):
            self._columns = found
            return True
        # A cumulative report may name units and intervals on another line of its header than the days.
        known = {column.held for column in self._columns}
        if own and "value" not in held and any(column.day for column in self._columns) and not {"unit", "limits"} & known:
            self._columns = (*self._columns, *(column for column in found if column.held in ("unit", "limits", "flag")))
            return True
        return False

    def row(self, line: str) -> Row | None:
        """The result of a line under a header; None for any other line."""
        cells = _cells(line) if self._columns else []
        names = [column for column in self._columns if column.held == "name"]
        values = [column for column in self._columns if column.held == "value"]
        if not 2 <= len(cells) <= _MOST_COLUMNS or not _LETTER.search(cells[0].text):
            return None
        if cells[0].start >= min(column.start for column in values) and not names:
            return None
        held: dict[Column, list[str]] = {}
        for cell in cells[1:]:
            held.setdefault(min((one for one in self._columns if one.held != "name"), key=lambda one: one.distance(cell)), []).append(
                cell.text
            )
        return _row(cells[0].text, {column: " ".join(texts) for column, texts in held.items()})


def _row(name: str, held: Mapping[Column, str]) -> Row | None:
    """The result of the latest day that has one; None where no column of values holds one."""
    texts = {column.held: text for column, text in held.items() if column.held != "value"}
    unit, limits = texts.get("unit", ""), texts.get("limits", "")
    if both := _BOTH.fullmatch(f"{unit} {limits}".strip()):
        unit, limits = both["unit"], both["limits"]
    values = [(column, text, _VALUE.fullmatch(text)) for column, text in held.items() if column.held == "value"]
    readable = [one for one in values if one[2] or _WORDS.fullmatch(one[1])]
    if not readable or len(readable) < len(values):
        return None
    *before, (column, text, found) = sorted(readable, key=lambda one: one[0].day or datetime.min)
    flag = texts.get("flag", "") or ((found["after"] or found["before"] or "") if found else "")
    written = found["written"].strip() if found else text
    earlier = tuple(f"Earlier, {one.day:%d/%m/%Y}: {said}" for one, said, _ in before if one.day)
    return Row(name, written, unit, limits, flag.strip("() "), column.day, found is not None, earlier)


def _cells(line: str) -> list[Cell]:
    """The cells of a line; two blanks, a tab or a bar part them. Columns of text behind tabs stand where an eighth column would begin."""
    return [Cell(found.group(), found.start(), found.end()) for found in _CELL.finditer(line.expandtabs())]


def _column(cell: Cell) -> Column:
    day = _day(cell.text)
    held = "value" if day else _titles().get(" ".join(_APART.sub(" ", cell.text.lower()).split()), "")
    return Column(held, cell.start, cell.end, day)


def _day(written: str) -> datetime | None:
    """A day as columns are headed, day first: `12/05/26`, `12 May 2026`; None for anything else."""
    found = _DAY.fullmatch(written)
    if not found:
        return None
    day, month, year = found.groups()
    number = int(month) if month.isdigit() else _MONTHS.find(month.lower()) // 3 + 1
    try:
        return datetime(int(year) + (2000 if len(year) == 2 else 0), number, int(day))
    except ValueError:
        return None


@cache
def _titles() -> dict[str, str]:
    """What a column of a laboratory's table holds, by its title."""
    entry = next(one for one in content("tables.yaml")["layouts"] if one["reader"] == "laboratory")
    return dict(_named(entry["columns"]))


def _named(columns: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    for held in ("name", "value", "unit", "limits", "flag"):
        for title in columns[held]:
            yield title, held
