"""Rows of a CSV file with a header, each with the line at which it begins.

Fields are separated by whichever of comma, semicolon and tab the header holds most; quoted fields may hold line breaks. Quoting is read
strictly, and the lines behind the first of a row that is not well quoted are read again as rows of their own: a forgotten quote does not
swallow the rows behind it.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from bedside.corpus.sources.lines import Line, iconv_hint, lines
from bedside.corpus.sources.records import BadRecord, Row
from bedside.errors import SourceError


def csv_rows(path: Path, columns: Sequence[str]) -> Iterator[Row | BadRecord]:
    """The rows as mappings from column to text.

    Args:
        path: the file.
        columns: the columns that have to be there; others are kept too.

    Yields:
        rows, and a `BadRecord` (`bad_csv`, `bad_encoding`, `field_count`) for each that cannot be decoded.

    Raises:
        SourceError: the header lacks one of `columns`; says which were found.
        OSError: the file cannot be opened or read.
    """
    texts = _Texts(path)
    if not texts.header.strip():
        return
    reader = csv.reader(texts, delimiter=max(",;\t", key=texts.header.count), strict=True)
    header = _header(reader, texts, columns)
    while True:
        texts.begin_row()
        where = f"{path.name}:{texts.number + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRecord("bad_csv", where, str(error))
            texts.give_back()
            continue
        if cells:
            yield _row(header, cells, where, texts.fault())


class _Texts:
    """Feeds the text of lines to `csv.reader` and remembers those of the row it is at."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        self._row: list[Line] = []
        self._lines = lines(path)
        first = next((line for line in self._lines if line.text.strip()), None)
        self._next = deque([first] if first else [])
        self.header = first.text if first else ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._next.popleft() if self._next else next(self._lines)
        self.number = line.number
        self._row.append(line)
        return line.text

    def begin_row(self) -> None:
        """Forget the lines of the last row."""
        self._row.clear()

    def give_back(self) -> None:
        """Let all lines of this row but its first be read again."""
        self.number = self._row[0].number
        self._next.extendleft(reversed(self._row[1:]))

    def fault(self) -> str | None:
        """The first thing in the lines of this row that cannot be decoded."""
        return next(filter(None, (line.fault() for line in self._row)), None)


def _header(reader: Iterator[list[str]], texts: _Texts, columns: Sequence[str]) -> list[str]:
    try:
        found = [name.strip() for name in next(reader)]
    except csv.Error:
        found = [texts.header.strip()]
    missing = [name for name in columns if name not in found]
    if not missing:
        return found
    if fault := texts.fault():
        raise SourceError(f"the header of {str(texts.path)!r} cannot be decoded: {fault}", iconv_hint(texts.path, fault))
    shown = ", ".join(repr(name[:30]) for name in found[:10])
    raise SourceError(
        f"{str(texts.path)!r} has no column {missing[0]!r}: expected {', '.join(columns)}; found {shown}",
        "Rename the columns, or choose the reader that fits the file",
    )


def _row(header: list[str], cells: list[str], where: str, fault: str | None) -> Row | BadRecord:
    if fault:
        return BadRecord("bad_encoding", where, fault)
    if len(cells) != len(header):
        return BadRecord("field_count", where, f"{len(cells)} fields where the header has {len(header)}")
    return Row(where, dict(zip(header, cells, strict=True)))
