"""What is known about device and laboratory reports: what is measured, its limits, words, sums that must add up, and context rules.

`analytes.yaml` names what is measured, `reference_intervals.yaml` its limits, `report_terms.yaml` the words of statements and records,
`report_sums.yaml` values that follow from others, and `report_rules/*.yaml` what a patient's context changes about a result. Every fact
has a source; none has been reviewed by a clinician unless it says so.
"""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bedside.knowledge import ucum
from bedside.knowledge.device_thresholds import threshold
from bedside.knowledge.facts import Fact, built_in, read_facts
from bedside.knowledge.report_conditions import Condition

Urgency = Literal["immediate", "same_day", "soon", "routine", "information"]
"""For the clinician, worst first. immediate: now; same_day: before the day ends; soon: within days; routine: at the next contact."""

URGENCIES: tuple[Urgency, ...] = ("immediate", "same_day", "soon", "routine", "information")


class Analyte(Fact):
    """Something that is measured.

    Attributes:
        label: as notes name it.
        names: as reports name it, lower case; `report_terms.plain` forms are compared.
        loinc: codes that mean it.
        unit: the unit that rules compare in, UCUM; "" for a plain number.
        units: factor from another unit to `unit`, or factor and offset (`value × factor + offset`).
        possible: what a living patient or a working device can give, in `unit`; outside of it, the value or its unit is wrong.
    """

    label: str
    names: tuple[str, ...] = ()
    loinc: tuple[str, ...] = ()
    unit: str = ""
    units: dict[str, float | tuple[float, float]] = Field(default_factory=dict)
    possible: tuple[float, float] | None = None

    @property
    def key(self) -> str:
        """The id without its prefix, as rules and sums name it."""
        return self.id.removeprefix("analyte.")

    def canonical(self, value: float, unit: str) -> float | None:
        """`value` in the analyte's unit; None where it is not reported in `unit`."""
        key = unit_key(unit)
        if key == unit_key(self.unit):
            return value
        scale = {unit_key(name): scale for name, scale in self.units.items()}.get(key)
        if scale is None:
            return None
        factor, offset = scale if isinstance(scale, tuple) else (scale, 0.0)
        return value * factor + offset


class ReferenceInterval(Fact):
    """Limits of an analyte, in its unit.

    Attributes:
        analyte: key of what it limits.
        kind: `usual`: values outside are abnormal. `alert`: values at or beyond are told at once.
        sex: whom it is for; None: both.
        age_from: first age in years that it is for.
        low, high: the limits; both belong to a usual interval and both to the alert.
        threshold: the device threshold (`device_thresholds.threshold`) that limits, sex and source are taken from, or "".
    """

    analyte: str
    kind: Literal["usual", "alert"] = "usual"
    sex: Literal["female", "male"] | None = None
    age_from: int = 18
    low: float | None = None
    high: float | None = None
    threshold: str = ""

    @model_validator(mode="before")
    @classmethod
    def _of_threshold(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not value.get("threshold"):
            return value
        found = threshold(str(value["threshold"]))
        low, high = (limit if math.isfinite(limit) else None for limit in (found.low, found.high))
        return {**value, "low": low, "high": high, "sex": found.sex, "source": found.source, "certainty": found.certainty}


class Term(Fact):
    """One meaning and the words that carry it; `*` at the end of a word stands for any ending. Inside of `other_than` they mean something else."""

    words: tuple[str, ...] = Field(min_length=1)
    other_than: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The id without its prefix, as rules name it."""
        return self.id.removeprefix("term.")


class Sum(Fact):
    """A reported value that follows from others in the same report.

    Attributes:
        label: what must add up, in a few words.
        value: the expression of what is reported.
        equals: expressions any of which it may equal; keys of analytes, numbers, `+ - * / **`, and the functions of `contradictions`.
        tolerance: largest difference that rounding explains, in the unit of `value`.
        relative: the same as a share of the expected value; the larger of both counts.
        severity: urgency of the finding.
    """

    label: str
    value: str
    equals: tuple[str, ...] = Field(min_length=1)
    tolerance: float = 0.0
    relative: float = 0.0
    urgency: Urgency = "soon"


class Addition(BaseModel):
    """A sentence that a further fact adds to a note, and the urgency that it raises the note to."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    given: tuple[Condition, ...] = Field(min_length=1)
    add: str
    urgency: Urgency | None = None


class ReportRule(Fact):
    """What a patient's context changes about a result.

    Attributes:
        kind: `context`; `contradiction`: the report disagrees with itself; `quality`: how far it can be trusted.
        title: what the rule is about, in a few words; said where a missing fact would decide it.
        examples: numbers of the worked examples (source book §7.4) that it carries out.
        when: what the report must say.
        given: what must be so in the record or the report; a note is made when all is known to be so.
        unless: what suppresses the note when it is known to be so; unknown does not.
        also: sentences that further facts add.
        note: the text, with the places {results} {medicines} {facts} {changes} {cautions} {limit}.
        urgency: for the clinician.
    """

    kind: Literal["context", "contradiction", "quality"] = "context"
    title: str
    examples: tuple[int, ...] = ()
    when: tuple[Condition, ...] = Field(min_length=1)
    given: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()
    also: tuple[Addition, ...] = ()
    note: str
    urgency: Urgency

    @model_validator(mode="after")
    def _whole(self) -> ReportRule:
        for text in (self.note, *(more.add for more in self.also)):
            text.format_map(dict.fromkeys(("results", "medicines", "facts", "changes", "cautions", "limit"), ""))
        return self


def unit_key(written: str) -> str:
    """A unit as it is compared: its UCUM code, else its letters; "" for a plain number."""
    found = ucum.unit(written)
    key = found.code if found else "".join(written.lower().split())
    return "" if key in ("1", "{z-score}") else key


@cache
def analytes() -> dict[str, Analyte]:
    """What is measured, by key."""
    return {fact.key: fact for fact in built_in(Analyte, "analytes.yaml")}


@cache
def reference_intervals() -> tuple[ReferenceInterval, ...]:
    """All limits."""
    return built_in(ReferenceInterval, "reference_intervals.yaml")


@cache
def report_terms() -> dict[str, Term]:
    """Words of statements and records, by key."""
    return {fact.key: fact for fact in built_in(Term, "report_terms.yaml")}


@cache
def report_sums() -> tuple[Sum, ...]:
    """Values that follow from others."""
    return built_in(Sum, "report_sums.yaml")


@cache
def report_rules() -> tuple[ReportRule, ...]:
    """All context rules, in the order of their ids."""
    folder = files("bedside.knowledge").joinpath("report_rules")
    pages = sorted((page for page in folder.iterdir() if page.name.endswith(".yaml")), key=lambda page: page.name)
    rules = [rule for page in pages for rule in read_facts(ReportRule, page.read_text(encoding="utf-8"), page.name)]
    return tuple(sorted(rules, key=lambda rule: rule.id))
