"""Results of a report or record as numbers that can be compared: what was measured, in its analyte's unit, and how it stands to its limits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache, cached_property
from typing import Literal

from bedside.knowledge.report_facts import Analyte, ReferenceInterval, reference_intervals
from bedside.reports.model import Finding, Interval, Sex, Span
from bedside.reports.units import analyte_of, in_unit
from bedside.reports.words import plain

Direction = Literal["high", "low", "abnormal"]
By = Literal["alert limit", "flag", "own range", "harmonised interval"]

_HIGH = {"h", "hh", "hu", ">", "high", "very high", "critical high", "+", "++", "u", "crit high", "h*", "hh*"}
_LOW = {"l", "ll", "lu", "<", "low", "very low", "critical low", "-", "--", "crit low", "l*", "ll*"}
_OTHER = {"a", "aa", "*", "**", "abnormal", "critical", "pos", "positive", "r", "det", "rr", "wr", "ind", "crit"}
_CRITICAL = {"hh", "ll", "aa", "hu", "lu", "critical", "critical high", "critical low", "**", "crit", "crit high", "crit low"}
_NORMAL = {"n", "normal", "neg", "negative", "ok"}
_WORDS = {"positive", "detected", "reactive", "abnormal"}
_STATES = {"registered", "cancelled"}


@dataclass(frozen=True)
class Reading:
    """One result.

    Attributes:
        finding: as it was reported.
        analyte: what it is of; None where that is not in the table.
        value: in the analyte's unit, moved a little beyond the limit where a comparator says so; None for words, or a unit that cannot be.
        recorded: it comes from the patient's record, not from the report.
    """

    finding: Finding
    analyte: Analyte | None
    value: float | None
    recorded: bool = False

    @property
    def label(self) -> str:
        """What it is of, as notes name it."""
        return self.analyte.label if self.analyte else self.finding.name

    @property
    def day(self) -> date | None:
        """The day of the specimen or measurement."""
        return self.finding.time.date() if self.finding.time else None

    @property
    def moment(self) -> datetime:
        """Its time, for sorting; the beginning of time where none is known."""
        found = self.finding.time
        return (found if found.tzinfo else found.replace(tzinfo=UTC)) if found else datetime.min.replace(tzinfo=UTC)

    @cached_property
    def amount(self) -> str:
        """The value as it was written, and in the analyte's unit where that is another."""
        finding = self.finding
        if finding.value is None:
            return finding.text or finding.written_value
        written = (
            finding.written_value
            if finding.written_value[:1] in "<>"
            else finding.comparator + (finding.written_value or f"{finding.value:g}")
        )
        unit = shown(finding.written_unit or finding.unit)
        converted = self.value is not None and self.analyte is not None and not math.isclose(self.value, finding.value, rel_tol=1e-6)
        also = f" ({number(self.value)} {shown(self.analyte.unit)})" if converted and self.value is not None and self.analyte else ""
        return f"{written}{'' if unit in ('', '%') else ' '}{unit}{also}"

    def __str__(self) -> str:
        return self.amount if self.amount.lower().startswith(self.label.lower()) else f"{self.label} {self.amount}"


def number(value: float) -> str:
    """A number with no more digits than it needs: three after the first below ten, else one decimal."""
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def reading(finding: Finding, title: str = "", *, recorded: bool = False) -> Reading:
    """A finding as a reading.

    Args:
        title: of its report, which tells urine from blood.
    """
    analyte = analyte_of(finding.name, finding.code, title)
    value = None
    if analyte is not None and finding.value is not None and finding.status not in _STATES and math.isfinite(finding.value):
        value = analyte.canonical(finding.value, finding.unit)
        if value is None:
            value = in_unit(finding, analyte.unit) if finding.unit else _without_unit(finding.value, analyte)
        if value is not None and finding.comparator in ("<", ">"):
            value = math.nextafter(value, math.inf if finding.comparator == ">" else -math.inf)
    return Reading(finding, analyte, value, recorded)


def _without_unit(value: float, analyte: Analyte) -> float | None:
    """A number that came without a unit is taken to be in the analyte's own, where that is possible; the report's quality says so."""
    low, high = analyte.possible or (-math.inf, math.inf)
    return value if low <= value <= high else None


@dataclass(frozen=True, slots=True)
class Abnormal:
    """A result outside its limits.

    Attributes:
        direction: on which side; `abnormal` where that is not told.
        by: what says so; the report's own flag and range come before bedside's intervals.
        critical: at or beyond an alert limit, or flagged so.
        limits: the limits it was held against, as text; "" for a flag alone.
        source: of limits that are not the report's own.
    """

    direction: Direction
    by: By
    critical: bool
    limits: str = ""
    source: str = ""


def abnormality(found: Reading, age: float | None, sex: Sex) -> Abnormal | None:
    """How a result is outside its limits: by its flag, its own range, the harmonised interval where neither came, or an alert limit."""
    finding = found.finding
    if finding.status in _STATES:
        return None
    alert = _beyond(found, _intervals(found.analyte, "alert", age, sex))
    if (flagged := flag_direction(finding.flag)) is not None:
        critical = alert is not None or finding.flag.strip().lower() in _CRITICAL
        return Abnormal(flagged, "flag", critical, finding.range.text if finding.range else "")
    own = _outside_own(finding)
    if own is not None:
        limits = finding.range.text if finding.range and finding.range.text else _span(finding.range)
        return Abnormal(own, "own range", alert is not None, limits)
    if alert is not None:
        return Abnormal(alert[0], "alert limit", True, _limit(alert[1]), alert[1].source)
    has_limits = finding.range is not None and (finding.range.low, finding.range.high) != (None, None)
    if has_limits or finding.flag.strip().lower() in _NORMAL:
        return None
    usual = _beyond(found, _intervals(found.analyte, "usual", age, sex))
    return Abnormal(usual[0], "harmonised interval", False, _limit(usual[1]), usual[1].source) if usual else None


def is_judged(found: Reading, age: float | None, sex: Sex) -> bool:
    """Whether anything says if a result is normal: a flag, a range, or an interval."""
    finding = found.finding
    has_limits = finding.range is not None and (finding.range.low, finding.range.high) != (None, None)
    return bool(finding.flag.strip()) or has_limits or (found.value is not None and bool(_intervals(found.analyte, "usual", age, sex)))


def flag_direction(flag: str) -> Direction | None:
    """What a flag says; None for a normal one or none."""
    key = " ".join(flag.strip().lower().strip("()[]").split())
    return "high" if key in _HIGH else "low" if key in _LOW else "abnormal" if key in _OTHER else None


def flag_says_normal(flag: str) -> bool:
    """Whether a flag says that the result is normal."""
    return flag.strip().lower() in _NORMAL


def range_direction(finding: Finding) -> Direction | None:
    """On which side of its own range a number is; None inside it or without one."""
    limits, value = finding.range, finding.value
    if limits is None or value is None:
        return None
    if limits.high is not None and (value > limits.high or (value == limits.high and finding.comparator == ">")):
        return "high"
    return "low" if limits.low is not None and (value < limits.low or (value == limits.low and finding.comparator == "<")) else None


def _outside_own(finding: Finding) -> Direction | None:
    if finding.value is not None or finding.range is None or not finding.range.text:
        return range_direction(finding)
    said, normal = plain(finding.text), plain(finding.range.text)
    return (
        "abnormal" if said != normal and said in _WORDS and normal.removeprefix("not ") in (*_WORDS, "negative", "nil", "normal") else None
    )


def _intervals(analyte: Analyte | None, kind: str, age: float | None, sex: Sex) -> list[ReferenceInterval]:
    """Limits for such a patient. Where the sex is not known, only what lies outside the limits of both counts."""
    if analyte is None or (age is not None and age < 18 and kind == "usual"):
        return []
    known = sex in ("female", "male")
    return [row for row in _limits_of().get((analyte.key, kind), ()) if not known or row.sex in (None, sex)]


@cache
def _limits_of() -> dict[tuple[str, str], list[ReferenceInterval]]:
    rows: dict[tuple[str, str], list[ReferenceInterval]] = {}
    for row in reference_intervals():
        rows.setdefault((row.analyte, row.kind), []).append(row)
    return rows


def _beyond(found: Reading, rows: list[ReferenceInterval]) -> tuple[Direction, ReferenceInterval] | None:
    """The side and the limit that a value is beyond, of all rows; alert limits count from the limit on."""
    if found.value is None or not rows:
        return None
    sides = [(_side(found.value, row), row) for row in rows]
    first = sides[0][0]
    return (first, sides[0][1]) if first is not None and all(side == first for side, _ in sides) else None


def _side(value: float, row: ReferenceInterval) -> Direction | None:
    at = row.kind == "alert"
    if row.high is not None and (value >= row.high if at else value > row.high):
        return "high"
    return "low" if row.low is not None and (value <= row.low if at else value < row.low) else None


def _limit(row: ReferenceInterval) -> str:
    return _span(Interval(low=row.low, high=row.high))


def _span(limits: Interval | None) -> str:
    if limits is None or (limits.low is None and limits.high is None):
        return ""
    if limits.low is None:
        return f"≤ {number(limits.high)}" if limits.high is not None else ""
    return f"≥ {number(limits.low)}" if limits.high is None else f"{number(limits.low)}–{number(limits.high)}"


_SHOWN = (
    ("{1.73_m2}", "1.73 m²"),
    ("mm[Hg]", "mmHg"),
    ("Cel", "°C"),
    ("10*9", "×10⁹"),
    ("10*12", "×10¹²"),
    ("umol", "µmol"),
    ("ug/", "µg/"),
)


def shown(unit: str) -> str:
    """A UCUM unit as clinicians read it."""
    for code, usual in _SHOWN:
        unit = unit.replace(code, usual)
    return "" if unit == "1" else unit


def place(span: Span) -> str:
    """Where something stands in its source, in one line."""
    if span.path:
        return f"{span.file} {span.path}"
    return f"{span.file} {span.start}–{span.end}" if span.start is not None else span.file


def by_analyte(readings: Iterable[Reading]) -> dict[str, list[Reading]]:
    """Readings with a comparable value by analyte, the latest first; equal times in the order of value, so that file order does not matter."""
    found: dict[str, list[Reading]] = {}
    for one in readings:
        if one.analyte is not None and one.value is not None:
            found.setdefault(one.analyte.key, []).append(one)
    for listed in found.values():
        listed.sort(key=lambda one: (one.moment, one.value or 0.0, str(one)), reverse=True)
    return found
