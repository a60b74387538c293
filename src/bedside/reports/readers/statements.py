"""Results and statements in running text: report lines such as `Potassium  6.3 H mmol/L (3.5-5.2)`, and sections in words.

A number is a result where the name of an analyte stands right before it, or where a line consists of a name, a value, and a unit, interval
or flag. All else is kept as statements, paragraph by paragraph, under the heading that it stands under.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from bedside.knowledge.ucum import unit, unit_pattern
from bedside.reports.model import Span
from bedside.reports.readers.aligned import Columns, Row
from bedside.reports.readers.data import content
from bedside.reports.readers.source import Draft, ReportError
from bedside.reports.readers.values import FLAG, NUMBER, interval
from bedside.reports.units import analyte_of, unit_fault, unit_of

Place = Callable[[int, int], Span]
"""Gives the place of characters `start` to `end` of a text in its file."""

MAX_CHARACTERS = 1024 * 1024
_MAX_LINE = 2000
_HEADING = re.compile(r"\s*(?P<label>[A-Za-z][A-Za-z0-9 /&.'()-]{0,48}?)\s*:\s*(?P<rest>.*)")
_CAPITALS = re.compile(r"\s*[A-Z][A-Z /&()-]{3,48}\s*")
_PRESSURE = re.compile(
    r"(?<![\w/.])(?P<systolic>\d{2,3})\s?/\s?(?P<diastolic>\d{2,3})(?![\w/.])\s*(?P<unit>mm\s?\[?Hg\]?|kPa)?", re.IGNORECASE
)
_PRESSURE_NAME = re.compile(
    r"\b(?:bp|blood pressure|abpm?|mean|average|systolic/diastolic|office|clinic|home|day(?:time)?|night(?:time)?|24)\b", re.IGNORECASE
)
_WORD_VALUE = re.compile(
    r"\s*(?P<name>[A-Za-z][^:=\t]{0,40}?)\s?[:=]?\s{0,20}\b(?P<value>HI|LO|high|low|positive|negative|(?:not )?detected|trace|nil|pending|error)\s*",
    re.IGNORECASE,
)
_PAIRED = re.compile(
    r"(?<![\w/])(?P<one>[A-Za-z]{2,5})\s?/\s?(?P<two>[A-Za-z]{2,5})(?:\s?[-(]?\s?(?:B|F|Baz|Frid)[a-z]{0,8}\)?)?\s?[:=]?\s{0,20}"
    r"(?P<first>\d{1,4})\s?/\s?(?P<second>\d{1,4})(?![\d/])\s?(?P<unit>ms|bpm|mmHg)?",
    re.IGNORECASE,
)
_MEAN = re.compile(r"\b(?:means?|averages?|avg|abpm?|ambulatory|24\s?-?h)", re.IGNORECASE)
"""Without such a word, a pressure at home, by day or by night is a single reading."""
_AMBULATORY_MEAN = re.compile(r"\b(?:abpm?|ambulatory)\b.{0,40}\b(?:mean|average|avg)\b", re.IGNORECASE)
_BIRTH_AND_SEX = re.compile(
    r"(?P<born>\S.*?\d{4}|\d{4}-\d\d-\d\d)[\s,(/]+(?:\d{1,3}\s?y\w*[\s,)/]*)?(?P<sex>male|female|m|f)\W*", re.IGNORECASE
)
_NAME_FIRST = re.compile(r"[A-Z][A-Za-z'’-]+,\s?[A-Z][A-Za-z'’ -]+")
_BLANK = re.compile(r"\s*|[\s=_~+|-]{3,}")
"""A line without words: nothing, or a rule between others."""
_LETTERS = re.compile(r"[A-Za-z]{2,}")
_WORD = re.compile(r"[A-Za-z0-9+/%\-']*[A-Za-z][A-Za-z0-9+/%\-']*[.,]?|\([^()]{1,20}\)|\d{1,3}")
_ROW_NAME = re.compile(r"[A-Za-z][^\t:=]{1,45}")
_STRONG = re.compile(r"[:=\t]|\.{2,}|\s{2,}")
_LONGEST_NAME = 6
_DOSES = {"mass", "volume", "time", "length", "insulin dose"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A result in a line: its parts as they were written, and its place in the line."""

    name: str
    written: str
    unit: str
    limits: str
    flag: str
    start: int
    end: int


def add_statements(draft: Draft, text: str, place: Place) -> dict[str, str]:
    """Adds what a text reports to a draft.

    Returns:
        What its header lines tell: `name`, `family`, `given`, `birth_date`, `sex`, `mrn`, `medicare`, `ihi`, `device`, `time`, `id`.

    Raises:
        ReportError: it is longer than any report.
    """
    if len(text) > MAX_CHARACTERS:
        raise ReportError(
            f"{draft.source.name} has {len(text):,} characters of text; at most {MAX_CHARACTERS:,} are read", "Split it into single reports"
        )
    reader = _Text(draft, place)
    for line in re.finditer(r"([^\r\n]*)(?:\r\n?|\n|\Z)", text):
        reader.line(line[1].rstrip(), line.start())
    reader.end_section()
    return reader.headers


class _Text:
    """A text while it is read line by line: its section, the heading that nothing stands under yet, and the paragraph at hand."""

    def __init__(self, draft: Draft, place: Place) -> None:
        self.draft = draft
        self.place = place
        self.headers: dict[str, str] = {}
        self.section = ""
        self.heading: tuple[str, int] | None = None
        self.lines: list[str] = []
        self.start = 0
        self.end = 0
        self.columns = Columns()

    def line(self, written: str, start: int) -> None:
        """Reads a line that stands at `start`; one without words ends a paragraph."""
        aligned = len(written) <= _MAX_LINE
        if aligned and self.columns.header(written):
            self._end_paragraph()
            self.draft.comments += [written.strip()] if re.search(r"\d", written) else []
            return
        if aligned and (row := self.columns.row(written)):
            self._row(row, written, start)
            return
        if headers := _headers_of(written):
            self._end_paragraph()
            for what, value in headers:
                self._header(what, value, written.strip())
            return
        found = _HEADING.fullmatch(written)
        told = header_of(found["label"]) if found and found["rest"] else None
        if _BLANK.fullmatch(written):
            self._end_paragraph()
        elif found and told:
            self._end_paragraph()
            self._header(told, found["rest"].strip(), written.strip())
        elif found and (
            found["label"].lower() in content("statements.yaml")["sections"] or (not found["rest"] and len(found["label"]) > 2)
        ):
            self.end_section()
            self.section, self.heading = found["label"].strip(), (written, start)
            if found["rest"]:
                self._words(written[found.start("rest") :], start + found.start("rest"))
        elif _CAPITALS.fullmatch(written) and not _named_word(written):
            self.end_section()
            self.section, self.heading = written.strip().title(), (written, start)
        else:
            self._words(written, start)

    def end_section(self) -> None:
        """Ends a section; a heading under which nothing stands is a statement, unless it is the report's title."""
        self._end_paragraph()
        if self.heading and self.heading[0].strip() != self.draft.title:
            written, start = self.heading
            self.draft.statement("Statement", written.strip(), self.place(start, start + len(written)))
        self.heading = None

    def _header(self, told: str, value: str, line: str) -> None:
        if self.headers.setdefault(told, value) != value:
            self.draft.comments.append(line)

    def _row(self, row: Row, written: str, start: int) -> None:
        """Adds the result of a row in aligned columns."""
        self._end_paragraph()
        self.heading = None
        text = written.strip()
        at = start + written.index(text)
        span = self.place(at, at + len(text))
        more: dict[str, Any] = {"flag": row.flag, "time": row.day, "comments": row.earlier}
        if row.is_number:
            self.draft.result(row.name, row.written, row.unit, span, text=text, limits=row.limits, **more)
        else:
            self.draft.statement(row.name, text, span, written_value=row.written, range=interval(row.limits), **more)

    def _words(self, written: str, start: int) -> None:
        """Reads a line that is no heading: its results, and what it says beside them."""
        self.heading = None
        found: list[Reading] = []
        if len(written) > _MAX_LINE:
            detail = f"a line of {len(written):,} characters is kept as words, without a search for results"
            self.draft.problem("not_read", detail, self.place(start, start + len(written)))
        elif said := _named_word(written):
            self._end_paragraph()
            self.draft.statement(*said, self.place(start, start + len(written)), written_value=said[1].split()[-1])
            return
        else:
            found = sorted(readings(written, self.draft.title or self.section), key=lambda reading: reading.start)
        for reading in found:
            end = next((later.start for later in found if later.start >= reading.end), len(written))
            shown = written[reading.start : end].strip(" \t,;")
            at = start + written.index(shown, reading.start)
            span = self.place(at, at + len(shown))
            self.draft.result(reading.name, reading.written, reading.unit, span, text=shown, limits=reading.limits, flag=reading.flag)
        if found and not _says_more(written, found):
            self._end_paragraph()
            return
        self.start = self.start if self.lines else start + len(written) - len(written.lstrip())
        self.lines.append(written.strip())
        self.end = start + len(written)

    def _end_paragraph(self) -> None:
        if self.lines:
            self.draft.statement(self.section or "Statement", "\n".join(self.lines), self.place(self.start, self.end))
        self.lines = []


def readings(line: str, title: str = "") -> Iterator[Reading]:
    """The results in a line, in its order.

    Args:
        title: of the report, for names that mean several things.
    """
    paired = [*_pressures(line, title), *_pairs(line, title)]
    yield from paired
    done = 0
    for value in _value_pattern().finditer(line):
        if any(one.start <= value.start() < one.end for one in paired):
            continue
        before = line[done : value.start()]
        known, offset = _known_name(before, title)
        if known:
            reading = _reading(line, value, known, done + offset)
            if _is_believable(reading, before[offset + len(known) :], title):
                yield reading
                done = reading.end
        elif not done and (named := _row_name(before)):
            reading = _reading(line, value, named, before.index(named))
            if (reading.unit or reading.limits or reading.flag) and not _LETTERS.search(line[reading.end :]):
                yield reading
                done = reading.end


def _row_name(before: str) -> str:
    """The name at the beginning of a row that a column's gap, dots, a colon or an equals sign parts from its value; "" where none is."""
    name = before.rstrip(" \t:=.")
    gap = before[len(name) :]
    parted = any(sign in gap for sign in (":", "=", "\t", "..", "  "))
    return name.strip() if parted and _ROW_NAME.fullmatch(name.strip()) else ""


def _pairs(line: str, title: str) -> Iterator[Reading]:
    """Two readings for each pair such as `QT/QTc 410/460 ms`."""
    for pair in _PAIRED.finditer(line):
        if analyte_of(pair["one"], "", title) and analyte_of(pair["two"], "", title):
            for name, written in ((pair["one"], pair["first"]), (pair["two"], pair["second"])):
                yield Reading(name, written, pair["unit"] or "", "", "", pair.start(), pair.end())


def _pressures(line: str, title: str) -> Iterator[Reading]:
    """Two readings for each `158/96 mmHg` whose unit, title or words before it tell that it is a blood pressure."""
    found = []
    for one in _PRESSURE.finditer(line):
        before = f"{title} {line[max(0, one.start() - 40) : one.start()]}"
        if (one["unit"] or _PRESSURE_NAME.search(before)) and int(one["systolic"]) > int(one["diastolic"]):
            found.append(one)
    for one, period in zip(found, _periods(line, title, found), strict=True):
        for side in ("systolic", "diastolic"):
            name = f"{period} {side}" if period else f"{side.capitalize()} blood pressure"
            yield Reading(name, one[side], one["unit"] or "mmHg", "", "", one.start(), one.end())


def _periods(line: str, title: str, pressures: list[re.Match[str]]) -> list[str]:
    """Of which period each pressure is the mean, by the words before it; "" for a single reading.

    Several periods before as many pressures (`24h/day/night: 128/78, 134/82, 118/66`) are theirs in order; else the nearest word counts.
    """
    if not _MEAN.search(f"{title} {line}"):
        return [""] * len(pressures)
    periods: list[str] = []
    waiting: list[str] = []
    done = 0
    for number, one in enumerate(pressures):
        named = [period_of(word[0]) for word in _period_pattern().finditer(line, done, one.start())]
        if named:
            listed = len(named) == len(pressures) - number and not _period_pattern().search(line, one.end())
            waiting = named if listed else named[-1:]
        done = one.end()
        ambulatory = "24-hour mean" if _AMBULATORY_MEAN.search(line[: one.start()]) else ""
        periods.append(waiting.pop(0) if waiting else ambulatory)
    return periods


def period_of(word: str) -> str:
    """Of which period a blood pressure with this word is the mean, such as `24-hour mean`; "" where the word tells none."""
    plain = " ".join(word.lower().replace("-", " ").split())
    return next((period for period, words in content("statements.yaml")["periods"].items() if plain in words), "")


def _known_name(before: str, title: str) -> tuple[str, int]:
    """The longest name of an analyte that ends `before`, with its place; ("", 0) where none does."""
    tail = before.rstrip(" \t:=.~")
    tail = re.sub(r"\s(?:is|was|of|at|now)$", "", tail[-80:])
    shift = len(before[: len(before.rstrip(" \t:=.~"))]) - len(before.rstrip(" \t:=.~")[-80:])
    words = list(_WORD.finditer(tail))
    if not words or words[-1].end() != len(tail):
        return "", 0
    for word in words[-_LONGEST_NAME:]:
        name = tail[word.start() :]
        if analyte_of(name, "", title):
            return name, shift + word.start()
    return "", 0


def _reading(line: str, value: re.Match[str], name: str, start: int) -> Reading:
    """The result whose value is found, with unit, flag and interval behind it."""
    written_unit, flag = value["unit"] or "", value["before"] or ""
    end = value.end()
    if written_unit in ("L", "l") and (not analyte_of(name) or unit_fault(name, "", unit_of(written_unit))):
        written_unit, flag = "", "L"
    tail = _tail_pattern().match(line, end)
    if tail:
        written_unit = written_unit or tail["unit"] or tail["unit2"] or ""
        flag = flag or tail["flag"] or tail["flag2"] or ""
        end = tail.end()
    limits = (tail["limits"] or "") if tail else ""
    return Reading(
        name.strip(), value["written"].strip(), written_unit.strip(), limits.strip(), flag.strip("() "), start, max(end, value.end())
    )


def _is_believable(reading: Reading, between: str, title: str) -> bool:
    """Whether a number behind a name is a result of it, not a dose, a count or an everyday word with a number."""
    strong = bool(_STRONG.search(between))
    everyday = reading.name.lower() in content("statements.yaml")["not_names"] or (len(reading.name) < 3 and not reading.name[0].isupper())
    if everyday and not (strong or reading.unit or reading.limits or reading.flag):
        return False
    found = unit(reading.unit) if reading.unit else None
    return not (found and found.group in _DOSES and unit_fault(reading.name, "", found.code, title))


def _says_more(line: str, found: list[Reading]) -> bool:
    """Whether a line says something beside its results."""
    rest, done = "", 0
    for reading in sorted(found, key=lambda reading: reading.start):
        rest += " " + line[done : reading.start]
        done = max(done, reading.end)
    return len("".join(_LETTERS.findall(f"{rest} {line[done:]}"))) > 6


def header_of(label: str) -> str | None:
    """What a header line of this label tells, such as `birth_date`; None for any other label."""
    plain = label.strip().lower().rstrip(":").strip()
    return next((what for what, labels in content("statements.yaml")["headers"].items() if plain in labels), None)


def _headers_of(line: str) -> list[tuple[str, str]]:
    """What a line with several headers tells, such as `CITIZEN, Alex  DOB 02/03/1954 M  MRN: 12345`; nothing for any other line."""
    labels = list(_label_pattern().finditer(line)) if len(line) <= _MAX_LINE else []
    if len(labels) < 2:
        return []
    before = line[: labels[0].start()].strip(" \t,;|")
    if before and not _NAME_FIRST.fullmatch(before):
        return []
    found = [("name", before)] if before else []
    ends = [*(label.start() for label in labels[1:]), len(line)]
    for label, end in zip(labels, ends, strict=True):
        what, value = header_of(label["label"]) or "", line[label.end() : end].strip(" \t,;|")
        if what == "birth_date" and (both := _BIRTH_AND_SEX.fullmatch(value)):
            found += [("birth_date", both["born"].strip(" ,(")), ("sex", both["sex"])]
        elif value:
            found.append((what, value))
    return found


def _named_word(line: str) -> tuple[str, str] | None:
    """Name and words of a line such as `BGL HI` that gives an analyte a value in words; None for any other line."""
    found = _WORD_VALUE.fullmatch(line)
    return (found["name"], line.strip()) if found and analyte_of(found["name"]) else None


@cache
def _label_pattern() -> re.Pattern[str]:
    """A header's label with its colon; some are told without one."""
    known = content("statements.yaml")
    labels = sorted((label for listed in known["headers"].values() for label in listed), key=len, reverse=True)
    names, bare = ("|".join(re.escape(label) for label in group) for group in (labels, known["bare_labels"]))
    return re.compile(rf"(?:(?<=\A)|(?<=[\s,;|]))(?P<label>(?:{names})(?=\s?[:=])|(?:{bare})(?=[\s:=]))\s?[:=]?\s*", re.IGNORECASE)


@cache
def _period_pattern() -> re.Pattern[str]:
    words = [word for listed in content("statements.yaml")["periods"].values() for word in listed]
    forms = sorted((re.escape(word).replace(r"\ ", r"[\s-]?") for word in words), key=len, reverse=True)
    return re.compile(rf"(?<!\d)(?<!\d[\s-])\b(?:{'|'.join(forms)})\b", re.IGNORECASE)


@cache
def _value_pattern() -> re.Pattern[str]:
    flag = rf"(?:(?P<before>{FLAG})\s*)?"
    return re.compile(
        rf"(?<![\w.,/:+−-]){flag}(?P<written>(?:[<>]=?|[≤≥])?\s?{NUMBER})(?!\w|[.,:/-]\d|\s?[-–]\s?\d)"
        rf"(?:\s?(?P<unit>{unit_pattern()})(?![\w/^]))?",
        re.IGNORECASE,
    )


@cache
def _tail_pattern() -> re.Pattern[str]:
    units = rf"(?:{unit_pattern()})(?![\w/^])"
    stated = r"(?:ref(?:erence)?\.?\s?(?:range|interval|int)?|range|normal|rr|interval)?\s*:?\s*"
    limits = rf"{stated}[(\[]?\s*{stated}(?P<limits>{NUMBER}\s*(?:-|–|to)\s*{NUMBER}|(?:[<>]=?|[≤≥])\s*{NUMBER})(?:\s*(?P<unit2>{units}))?\s*[)\]]?"
    return re.compile(rf"\s*(?P<flag>{FLAG})?\s*(?P<unit>{units})?\s*(?:{limits})?\s*(?P<flag2>{FLAG})?", re.IGNORECASE)
