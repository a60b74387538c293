"""The language of context rules: what a rule may ask of a report and of a patient's record.

A condition is a mapping with one key. `all`, `any` and `not` combine conditions; the others ask one thing:

    result: {of: [potassium], above: 5.2}      a result, in the analyte's unit; or {of: …, is: high | low | abnormal | normal | critical}
    change: {of: [egfr], percent_at_most: -25, within_days: 90}   against the latest earlier result of that window
    says: [paced]                              a statement or comment of the report
    specimen | recording: [haemolysed]         how far it can be trusted: comments of the report, and the record
    condition | symptom | event | device | habit | indication: [copd]   the patient's record; {any: [uti], within_days: 56} for a window
    named: [biotin]                            a word in the list of medicines, for what has no class
    takes: [acei, arb]                         a current medicine by class or generic; {any: […], started_within: 28} for a new one
    interaction: [ddi.triple-whammy]           rules of the interaction table that the patient's medicines fire
    caution: [renal.]                          checks of a medicine against this patient (`cross_checks.yaml`), by the start of their ids
    age | bmi | weeks: {at_least: 75}          years, kg/m², completed weeks of pregnancy
    sex: female      pregnant: true      kind: [ecg]

Each is true, false or not known. What is not in a record is not known; an empty list in it is known to be none.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FactKind = Literal["specimen", "recording", "condition", "symptom", "event", "device", "habit", "indication", "named"]
FACT_KINDS: tuple[FactKind, ...] = ("specimen", "recording", "condition", "symptom", "event", "device", "habit", "indication", "named")


class _Node(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Limits(_Node):
    """Bounds of a number; all that are given must hold."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def hold(self, value: float) -> bool:
        """Whether `value` is within them."""
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


class ResultTest(Limits):
    """A result: of any of these analytes, within limits or judged so.

    Attributes:
        judged: against its flag, its own range or the harmonised interval.
        above_age_times: a limit that grows with age, per year.
        within_days: how old an earlier result may be where the report has none.
    """

    of: tuple[str, ...] = Field(min_length=1)
    judged: Literal["high", "low", "abnormal", "normal", "critical"] | None = Field(default=None, alias="is")
    above_age_times: float | None = None
    within_days: int = 90


class ChangeTest(_Node):
    """A change from the latest earlier result that is at most `within_days` and at least `after_days` older."""

    of: tuple[str, ...] = Field(min_length=1)
    percent_at_least: float | None = None
    percent_at_most: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    within_days: float = 3650
    after_days: float = 0

    def holds(self, before: float, now: float) -> bool:
        """Whether the change from `before` to `now` is within the limits; a change from zero has no percentage."""
        percent = Limits(at_least=self.percent_at_least, at_most=self.percent_at_most)
        if (self.percent_at_least is not None or self.percent_at_most is not None) and not before:
            return False
        share = 100 * (now - before) / before if before else 0.0
        return percent.hold(share) and Limits(at_least=self.at_least, at_most=self.at_most).hold(now - before)


class FactTest(_Node):
    """Any of these terms, told within so many days where a date is known."""

    any: tuple[str, ...] = Field(min_length=1)
    within_days: int | None = None


class TakesTest(_Node):
    """A current medicine of any of these classes or generics, started within so many days."""

    any: tuple[str, ...] = Field(min_length=1)
    started_within: int | None = None


class Condition(_Node):
    """One condition; see the top of this file. Exactly one field is set."""

    all: tuple[Condition, ...] | None = None
    any: tuple[Condition, ...] | None = None
    negated: Condition | None = Field(default=None, alias="not")
    result: ResultTest | None = None
    change: ChangeTest | None = None
    says: tuple[str, ...] | None = None
    specimen: FactTest | None = None
    recording: FactTest | None = None
    condition: FactTest | None = None
    symptom: FactTest | None = None
    event: FactTest | None = None
    device: FactTest | None = None
    habit: FactTest | None = None
    indication: FactTest | None = None
    named: FactTest | None = None
    takes: TakesTest | None = None
    interaction: tuple[str, ...] | None = None
    caution: tuple[str, ...] | None = None
    age: Limits | None = None
    bmi: Limits | None = None
    weeks: Limits | None = None
    sex: Literal["female", "male"] | None = None
    pregnant: bool | None = None
    kind: tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """A list of terms or classes stands for {any: list}."""
        if not isinstance(value, dict):
            return value
        return {key: {"any": part} if key in (*FACT_KINDS, "takes") and isinstance(part, list) else part for key, part in value.items()}

    @model_validator(mode="after")
    def _one(self) -> Condition:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"a condition has exactly one key, this one has {sorted(self.model_fields_set) or 'none'}")
        return self
