"""Imports the official Medicare Benefits Schedule, XML or CSV, into a table in the practice's own folder.

The file is the one that MBS Online offers for download; it is Commonwealth copyright and never part of bedside. Its fields: `ItemNum`,
`SubItemNum`, `ItemStartDate`, `ItemEndDate`, `Category`, `Group`, `ScheduleFee`, `FeeStartDate`, `Benefit75`, `Benefit85`, `Benefit100`,
`DerivedFee`, `Description` and others, with days like `01.07.2025`. Older files nest them in `Record10` (item), `Record20` (fee) and `Record50`
(description, line by line); both read the same here, because a row begins with each new `ItemNum`.
"""

from __future__ import annotations

import csv
import hashlib
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from xml.parsers import expat

from bedside.errors import KnowledgeError

LICENCE = "Commonwealth of Australia copyright; MBS Online terms of use"
MAX_BYTES = 200_000_000
MAX_FIELD = 100_000
MAX_DEPTH = 12
MAX_NAMED = 50
TABLE = "mbs.sqlite"
Row = tuple[str | None, ...]
"""Days, amounts and words of an item, in the order of the table's columns after `item`."""
_MONEY = ("ScheduleFee", "Benefit75", "Benefit85", "Benefit100")
_DATES = ("ItemStartDate", "ItemEndDate", "FeeStartDate")
_NO_DATE = ("", "00.00.0000")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS schedules (day TEXT PRIMARY KEY, file TEXT, sha256 TEXT, licence TEXT, items INTEGER, refused INTEGER);
CREATE TABLE IF NOT EXISTS items (
  schedule TEXT REFERENCES schedules (day), item TEXT, started TEXT, ended TEXT, fee TEXT, fee_from TEXT,
  benefit75 TEXT, benefit85 TEXT, benefit100 TEXT, derived TEXT, description TEXT, PRIMARY KEY (schedule, item));
"""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        table: the file written.
        schedule: first day of the schedule.
        items: rows kept.
        refused: rows that could not be read.
        named: the first of those, each with its item and the fault.
    """

    table: Path
    schedule: date
    items: int
    refused: int
    named: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScheduleItem:
    """An item as one schedule has it; amounts in dollars, None where the schedule gives none.

    Attributes:
        schedule: first day of the schedule.
        started, ended: first and last day of the item; None: not given.
        fee, fee_from: schedule fee and the day it began.
        benefit: of a patient out of hospital (the 100 or 85 per cent benefit); None for items of hospital patients only.
        derived: in words, where the fee is to be worked out.
    """

    schedule: date
    item: str
    started: date | None
    ended: date | None
    fee: Decimal | None
    fee_from: date | None
    benefit: Decimal | None
    derived: str

    def holds_on(self, day: date) -> bool:
        """Whether the item could be claimed on `day`, both ends included."""
        return (self.started is None or self.started <= day) and (self.ended is None or day <= self.ended)


def import_schedule(source: Path, folder: Path, schedule: date | None = None) -> ImportReport:
    """Import a schedule; one imported before for the same day is replaced, those of other days are kept.

    Args:
        source: the downloaded XML or CSV.
        folder: the practice's folder; gets `mbs.sqlite`.
        schedule: first day of the schedule; by default the newest day on which an item or a fee in it begins.

    Raises:
        KnowledgeError: the file is too large, no schedule, or carries XML declarations that a schedule never has.
        OSError: the file cannot be read or the table cannot be written.
    """
    if source.stat().st_size > MAX_BYTES:
        raise KnowledgeError(f"{source} has {source.stat().st_size:,} bytes, more than {MAX_BYTES:,}", "Give the schedule as downloaded")
    rows: dict[str, Row] = {}
    faults: list[str] = []
    newest = date.min
    for number, fields in enumerate(_rows(source), 1):
        try:
            item, row, began = _row(fields)
        except ValueError as error:
            faults.append(f"row {number} (item {fields.get('ItemNum', '')[:10]!r}): {error}")
            continue
        if item in rows:
            faults.append(f"row {number} (item {item!r}): is there twice")
            continue
        rows[item] = row
        newest = max(newest, began)
    if not rows:
        raise KnowledgeError(f"{source} holds no item that can be read", "Give the XML or CSV that MBS Online offers for download")
    if schedule is None and newest == date.min:
        raise KnowledgeError(f"{source} does not say from which day it holds", "Give the schedule's first day")
    report = ImportReport(folder / TABLE, schedule or newest, len(rows), len(faults), tuple(faults[:MAX_NAMED]))
    _write(report, source, rows)
    return report


def schedule_item(table: Path, item: str, day: date) -> ScheduleItem | date | None:
    """The item as the newest imported schedule of that day or before has it.

    Returns:
        the item; that schedule's first day where it has no such item; None where no schedule is that old.

    Raises:
        KnowledgeError: the table is not one that `import_schedule` wrote.
    """
    if not table.is_file():
        raise KnowledgeError(f"There is no table {table}", "Import the MBS schedule first")
    query = "SELECT * FROM items WHERE schedule = ? AND item = ?"
    try:
        with closing(sqlite3.connect(table)) as connection:
            connection.row_factory = sqlite3.Row
            newest = connection.execute("SELECT max(day) FROM schedules WHERE day <= ?", (day.isoformat(),)).fetchone()[0]
            row = newest and connection.execute(query, (newest, item)).fetchone()
    except sqlite3.DatabaseError as error:
        raise KnowledgeError(f"{table} is no imported schedule: {error}", "Import the MBS schedule again") from error
    if newest is None:
        return None
    if row is None:
        return date.fromisoformat(newest)
    return ScheduleItem(
        schedule=date.fromisoformat(newest),
        item=item,
        started=_date_of(row["started"]),
        ended=_date_of(row["ended"]),
        fee=_amount_of(row["fee"]),
        fee_from=_date_of(row["fee_from"]),
        benefit=_amount_of(row["benefit100"] or row["benefit85"]),
        derived=row["derived"],
    )


def _date_of(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _amount_of(text: str | None) -> Decimal | None:
    return Decimal(text) if text else None


def _write(report: ImportReport, source: Path, rows: dict[str, Row]) -> None:
    day = report.schedule.isoformat()
    report.table.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        with closing(sqlite3.connect(report.table)) as connection, connection:
            connection.executescript(_SCHEMA)
            connection.execute("DELETE FROM items WHERE schedule = ?", (day,))
            told = (day, source.name, digest, LICENCE, report.items, report.refused)
            connection.execute("INSERT OR REPLACE INTO schedules VALUES (?, ?, ?, ?, ?, ?)", told)
            connection.executemany(f"INSERT INTO items VALUES (?{', ?' * 10})", ((day, item, *row) for item, row in rows.items()))
    except sqlite3.DatabaseError as error:
        raise KnowledgeError(f"{report.table} cannot be written: {error}", "Move that file away and import again") from error


def _row(fields: dict[str, str]) -> tuple[str, Row, date]:
    """Item number, the rest of its row, and the newest day on which it or its fee began. ValueError names the fault."""
    item = fields.get("ItemNum", "").strip()
    if not (item.isdecimal() and len(item) <= 5):
        raise ValueError("its item number is no number of up to 5 digits")
    days = {name: _day(name, fields.get(name, "")) for name in _DATES}
    money = {name: _money(name, fields.get(name, "")) for name in _MONEY}
    began = max((day for name in ("ItemStartDate", "FeeStartDate") if (day := days[name])), default=date.min)
    started, ended, fee_from = (day.isoformat() if day else None for day in days.values())
    fee, *benefits = money.values()
    words = (fields.get("DerivedFee", "").strip(), fields.get("Description", "").strip())
    return str(int(item)), (started, ended, fee, fee_from, *benefits, *words), began


def _day(name: str, text: str) -> date | None:
    text = text.strip()
    if text in _NO_DATE:
        return None
    try:
        return datetime.strptime(text, "%d.%m.%Y").date()
    except ValueError:
        raise ValueError(f"{name} {text[:20]!r} is no day like 01.07.2025") from None


def _money(name: str, text: str) -> str | None:
    text = text.strip()
    try:
        amount = Decimal(text) if text else None
    except InvalidOperation:
        raise ValueError(f"{name} {text[:20]!r} is no amount") from None
    if amount is None:
        return None
    if not (amount.is_finite() and 0 <= amount < 1_000_000 and round(amount, 2) == amount):
        raise ValueError(f"{name} {text[:20]!r} is no amount of dollars and cents")
    return f"{amount:.2f}"


def _rows(source: Path) -> Iterator[dict[str, str]]:
    with source.open("rb") as file:
        start = file.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n")
    yield from _xml_rows(source) if start.startswith((b"<", b"\xff\xfe", b"\xfe\xff")) else _csv_rows(source)


def _csv_rows(source: Path) -> Iterator[dict[str, str]]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", restval="")
            if "ItemNum" not in (reader.fieldnames or ()):
                raise KnowledgeError(f"{source} has no column ItemNum", "Give the XML or CSV that MBS Online offers for download")
            for row in reader:
                yield {name: value for name, value in row.items() if name}
    except (UnicodeDecodeError, csv.Error) as error:
        raise KnowledgeError(f"{source} is no CSV in UTF-8: {error}", "Save it as UTF-8 CSV, or give the XML") from error


def _xml_rows(source: Path) -> Iterator[dict[str, str]]:
    reader = _XmlReader()
    try:
        with source.open("rb") as file:
            while block := file.read(1 << 16):
                reader.parser.Parse(block, False)
                yield from reader.take()
        reader.parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise KnowledgeError(f"{source} is no well-formed XML: {error}", "Download the schedule again") from error
    except _RefusedError as error:
        raise KnowledgeError(f"{source} {error}", "Give the schedule as downloaded from MBS Online") from error
    yield from reader.take(last=True)


class _RefusedError(Exception):
    """XML that no schedule holds."""


class _XmlReader:
    """Collects rows from elements that hold text. It refuses document types, without which XML has no entities of its own."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self._done: list[dict[str, str]] = []
        self._row: dict[str, str] = {}
        self._said: list[str] = []
        self._depth = self._length = 0

    def take(self, last: bool = False) -> list[dict[str, str]]:
        """Rows finished since the last call; with `last` also the one under way."""
        if last and self._row:
            self._done.append(self._row)
        done, self._done = self._done, []
        return done

    def _doctype(self, *_: object) -> None:
        raise _RefusedError("declares a document type")

    def _start(self, _name: str, _attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _RefusedError(f"nests elements deeper than {MAX_DEPTH}")
        self._said, self._length = [], 0

    def _text(self, text: str) -> None:
        self._length += len(text)
        if self._length > MAX_FIELD:
            raise _RefusedError(f"holds a field of more than {MAX_FIELD:,} characters")
        self._said.append(text)

    def _end(self, name: str) -> None:
        self._depth -= 1
        text = "".join(self._said).strip()
        self._said, self._length = [], 0
        if name == "ItemNum" and text != self._row.get(name):
            if self._row:
                self._done.append(self._row)
            self._row = {}
        if name == "Description" and name in self._row:
            text = f"{self._row[name]} {text}"
        if text:
            self._row[sys.intern(name)] = text
