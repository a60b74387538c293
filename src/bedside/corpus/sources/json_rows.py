"""Rows of JSON Lines, of a JSON array, and of a JSON object, one at a time, each with the line at which it begins.

Where several begin on one line, the column follows (`file:1:345`), so that no two rows stand at one place.

An ordinary JSON parser stops at the first fault of a file. Here only the brackets are followed; each row is then parsed alone, so that
a row with a fault costs that row. JSON strings hold no line breaks, so a forgotten quote ends with its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from bedside.corpus.sources.lines import Line, iconv_hint, lines
from bedside.corpus.sources.records import UNWRITABLE, BadRecord, Row, RowError
from bedside.errors import SourceError

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},:]|[^\s\[\]{},:"]++')
_NEXT_ROW = re.compile(r",\s*(?={)")
_OPENS = {"]": "[", "}": "{"}
_LINE_SUFFIXES = {".jsonl", ".ndjson"}


def json_rows(path: Path) -> Iterator[Row | BadRecord]:
    """The rows of a JSON array or of JSON Lines.

    A file whose first character is `[` is an array, unless its name ends in `.jsonl` or `.ndjson`. Blank lines are no rows.

    Yields:
        rows, and a `BadRecord` (`bad_json`, `bad_encoding`) for each that cannot be decoded.

    Raises:
        OSError: the file cannot be opened or read.
    """
    first, every = _peeked(path)
    if first.startswith("[") and path.suffix.lower() not in _LINE_SUFFIXES:
        return _array_rows(path.name, every)
    return (_row(_Held.of(line), path.name) for line in every if line.text.strip())


def keyed_rows(path: Path, depth: int) -> Iterator[Row | BadRecord]:
    """The values at `depth` below a JSON object, each with the keys that lead to it.

    Raises:
        SourceError: the file is no JSON object, or its brackets do not match.
        OSError: the file cannot be opened or read.
    """
    first, every = _peeked(path)
    if first and not first.startswith("{"):
        raise _no_object(path, next(every).fault())
    scanner = _Scanner(depth)
    for held in scanner.values(every):
        yield _row(held, path.name)
    # Behind a missing bracket nobody can say what belongs to which key.
    if scanner.odd_line:
        raise SourceError(
            f"the JSON of {str(path)!r} is cut off or lacks a bracket: the brackets at line {scanner.odd_line} do not match",
            "Fetch the file again, or mend it at or before that line",
        )


def parse_json(text: str) -> Any:
    """One JSON value.

    Raises:
        RowError: `bad_json`, with what is wrong and the column.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise RowError("bad_json", f"{error.msg} (character {error.pos + 1} of the record)") from error
    except (ValueError, RecursionError) as error:
        raise RowError("bad_json", str(error)) from error


def _no_object(path: Path, fault: str | None) -> SourceError:
    if fault:
        return SourceError(f"{str(path)!r} is no JSON object: {fault}", iconv_hint(path, fault))
    return SourceError(f"{str(path)!r} does not begin with '{{', so it is no JSON object", "Choose the reader that fits the file")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _peeked(path: Path) -> tuple[str, Iterator[Line]]:
    """The text of the first line that is not blank, and all lines from there."""
    every = lines(path)
    first = next((line for line in every if line.text.strip()), None)
    return ("", iter(())) if first is None else (first.text.lstrip(), chain([first], every))


@dataclass(slots=True)
class _Held:
    """The text of one value, gathered over its lines; `odd` where its brackets do not match."""

    line: int
    column: int = 1
    first_on_line: bool = True
    keys: tuple[str, ...] = ()
    level: int = 0
    odd: bool = False
    parts: list[str] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, line: Line) -> _Held:
        held = cls(line.number)
        held.add(line, 0, len(line.text))
        return held

    def where(self, name: str) -> str:
        return f"{name}:{self.line}" if self.first_on_line else f"{name}:{self.line}:{self.column}"

    def add(self, line: Line, start: int, end: int) -> None:
        self.parts.append(line.text[start:end])
        if fault := line.fault(start, end):
            self.faults[line.number] = fault


def _row(held: _Held, name: str) -> Row | BadRecord:
    where = held.where(name)
    if held.faults:
        return BadRecord("bad_encoding", where, next(iter(held.faults.values())))
    try:
        return Row(where, parse_json("".join(held.parts)), held.keys)
    except RowError as bad:
        return BadRecord(bad.reason, where, bad.detail)


def _array_rows(name: str, every: Iterable[Line]) -> Iterator[Row | BadRecord]:
    scanner = _Scanner(depth=1)
    for held in scanner.values(every):
        for one in _recovered(held) if held.odd else (held,):
            yield _row(one, name)
    if scanner.cut_off:
        yield BadRecord("bad_json", f"{name}:{scanner.odd_line}", "the array never closes; the file may be cut off")


def _recovered(held: _Held) -> Iterator[_Held]:
    """The rows that one with a missing bracket took in, found by the `, {` between them; the array's last bracket is left out."""
    text = "".join(held.parts)
    starts = [0, *(match.end() for match in _NEXT_ROW.finditer(text))]
    line, column, first_on_line = held.line, held.column, held.first_on_line
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        piece = text[start:end]
        last = line + piece.count("\n")
        faults = {number: held.faults[number] for number in held.faults if line <= number <= last and UNWRITABLE.search(piece)}
        yield _Held(line, column, first_on_line, parts=[piece.rstrip(", \t\r\n").removesuffix("]")], faults=faults)
        before = piece.rpartition("\n")[2]
        column = len(before) + (1 if last > line else column)
        first_on_line = last > line and not before.strip()
        line = last


class _Scanner:
    """Follows brackets and strings, and gathers each value that stands inside `depth` containers.

    Once all values were given, `odd_line` is the first line at which brackets do not match (0 where all do), and `cut_off` says that
    all did but a container never closed.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.odd_line = 0
        self.cut_off = False
        self._held: _Held | None = None
        self._open: list[str] = []
        self._keys: list[str | None] = []

    def values(self, every: Iterable[Line]) -> Iterator[_Held]:
        """Each value, from its first character to its last."""
        number = 0
        for line in every:
            number = line.number
            yield from self._values_of(line)
        if self._held:
            self._held.odd = True
            yield self._held
        elif self._open and not self.odd_line:
            self.cut_off = True
        if self._open:
            self.odd_line = self.odd_line or number

    def _values_of(self, line: Line) -> Iterator[_Held]:
        start, begun = 0, False
        for match in _TOKEN.finditer(line.text):
            token = match.group()
            if self._held is None:
                if not self._begins_value(token, line.number):
                    continue
                start = match.start()
                keys = tuple(key for key in self._keys if key is not None)
                self._held = _Held(line.number, start + 1, not begun, keys, len(self._open))
                begun = True
            if not self._track(token):
                self._held.odd, self.odd_line = True, self.odd_line or line.number
            if len(self._open) == self._held.level:
                self._held.add(line, start, match.end())
                yield self._held
                self._held = None
                self._forget_key()
        if self._held:
            self._held.add(line, start, len(line.text))

    def _begins_value(self, token: str, line: int) -> bool:
        """Whether a token outside any value begins one; containers above `depth` are entered and left here."""
        if token in "]}":
            if self._open[-1:] == [_OPENS[token]]:
                self._track(token)
            else:
                self.odd_line = self.odd_line or line
            self._forget_key()
        elif token == ",":
            self._forget_key()
        elif self._open[-1:] == ["{"] and self._keys[-1] is None and token.startswith('"'):
            self._keys[-1] = token.strip('"')
        elif token in "[{" and len(self._open) < self.depth:
            self._track(token)
        elif token != ":":
            return True
        return False

    def _track(self, token: str) -> bool:
        """Enter or leave a container; False where the bracket that closes is not of the kind that opened."""
        if token in "[{":
            self._open.append(token)
            self._keys.append(None)
        elif token in "]}":
            self._keys.pop()
            return self._open.pop() == _OPENS[token]
        return True

    def _forget_key(self) -> None:
        if self._keys:
            self._keys[-1] = None
