"""What every check shares: the facts it is given, the answer it gives, and how a period of months is counted.

Counting: a period of months that runs forward from a day ends on the same day of the later month, or on that month's last day where it has no
such day; one that runs back from a day begins likewise. Twelve months after 29 February 2024 end on 28 February 2025.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bedside.knowledge import medicare
from bedside.knowledge.facts import Fact
from bedside.knowledge.medicare import Level, Rule

T = TypeVar("T")


def _read_date(value: object) -> object:
    # pydantic alone would take 20250701 for seconds since 1970.
    if isinstance(value, str):
        return dt.date.fromisoformat(value.strip())
    if value is None or (isinstance(value, dt.date) and not isinstance(value, dt.datetime)):
        return value
    raise ValueError("a date has to be written like 2025-11-01")


def _read_last(value: object) -> object:
    return None if value == "never" else _read_date(value)


def _read_name(same: Mapping[str, str], value: object) -> object:
    if not isinstance(value, str):
        return value
    name = value.strip().lower().replace(" ", "_").replace("-", "_")
    return same.get(name, name)


def spoken(**same: str) -> BeforeValidator:
    """Reads names as people write them: case, spaces and hyphens do not matter, and `same` maps other names onto one."""
    return BeforeValidator(partial(_read_name, same))


def _read_level(value: object) -> object:
    return value.upper().removeprefix("LEVEL").strip() if isinstance(value, str) else value


def _read_item(value: object) -> object:
    if value is None:
        return None
    if not re.fullmatch(r"\s*\d{1,5}\s*", str(value)):
        raise ValueError("an MBS item is a number of up to 5 digits")
    return str(int(str(value)))


AnyLevel = Annotated[Level | None, BeforeValidator(_read_level), Field(description="A to E")]
ItemNumber = Annotated[str | None, BeforeValidator(_read_item), Field(description="MBS item number")]
Day = Annotated[dt.date, BeforeValidator(_read_date)]
MyMedicare = Annotated[
    bool | None,
    Field(
        validation_alias=AliasChoices("mymedicare", "mymedicare_registered"), description="registered at this practice through MyMedicare"
    ),
]
Date = Annotated[dt.date | None, BeforeValidator(_read_date)]
Last = Annotated[dt.date | None, BeforeValidator(_read_last), Field(description="a date; null or 'never': it has not happened")]


class Facts(BaseModel):
    """Facts of one question. A fact left out is not known; only for a date of something past does null say that it never happened."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, coerce_numbers_to_str=True)
    past: ClassVar[tuple[str, ...]] = ()
    date: Date = Field(default=None, description="day of the service")

    @model_validator(mode="after")
    def _past_is_past(self) -> Facts:
        for name in self.past:
            day = getattr(self, name)
            if day and self.date and day > self.date:
                raise ValueError(f"{name} {day} lies after the date {self.date}")
        return self

    def past_day(self, name: str, rule: Fact) -> dt.date | None:
        """A date of something past; None: it never happened. Raises Undecided where the fact was left out."""
        if name not in self.model_fields_set:
            raise Undecided(rule, f"It depends on {name}", (name,))
        day: dt.date | None = getattr(self, name)
        return day


class Answer(BaseModel):
    """What a check found.

    Attributes:
        answer: yes, no, or unknown where facts are missing or no rule is on record.
        rule: id of the fact that decided.
        source: where that fact was read.
        because: one plain sentence for staff; it promises nothing.
        value: what was asked for, such as an amount, a level, an item or a day.
        missing: names of facts that would decide it.
    """

    model_config = ConfigDict(frozen=True)
    answer: Literal["yes", "no", "unknown"]
    rule: str
    source: str
    because: str
    value: str | dict[str, str] | None = None
    missing: tuple[str, ...] = ()


class Tables(BaseModel):
    """Tables that a practice imported: folders or files of its own, None where it has none.

    Attributes:
        mbs: the file that `bedside.knowledge.mbs_import.import_schedule` wrote.
        pbs: the `items.csv` of the PBS API, kept under its month's name, such as `2026-11-01-items.csv`.
    """

    model_config = ConfigDict(frozen=True)
    mbs: Path | None = None
    pbs: Path | None = None


class Undecided(Exception):  # noqa: N818 - it ends a check early and is an answer, not an error
    """The facts or the rules on record do not decide; `run_check` turns it into the answer unknown."""

    def __init__(self, rule: Fact, because: str, missing: tuple[str, ...] = ()) -> None:
        super().__init__(because)
        self.answer = answer(rule, "unknown", because, missing=missing)


def answer(
    rule: Fact,
    verdict: Literal["yes", "no", "unknown"],
    because: str,
    value: str | dict[str, str] | None = None,
    missing: tuple[str, ...] = (),
) -> Answer:
    """An answer that names its rule, and says so where that rule is disputed."""
    note = (
        "; this rule is disputed or soon out of date, so check it before relying on it"
        if rule.certainty == "D" and verdict != "unknown"
        else ""
    )
    return Answer(answer=verdict, rule=rule.id, source=rule.source, because=f"{because}{note}.", value=value, missing=missing)


def need(rule: Fact, name: str, value: T | None) -> T:
    """The value of a fact; Undecided where it was left out."""
    if value is None:
        raise Undecided(rule, f"It depends on {name}", (name,))
    return value


def newest(family: str) -> Rule:
    """The newest version of a rule, whatever the day."""
    return medicare.rules()[family][-1]


def rule_on(family: str, day: dt.date) -> Rule:
    """The rule of that family in force on `day`; Undecided where none is on record."""
    for version in reversed(medicare.rules()[family]):
        if version.holds_on(day):
            return version
    raise Undecided(newest(family), f"No rule {family} is on record for {day}")


def service_day(facts: Facts, family: str) -> dt.date:
    """The day of the service; Undecided where it is not known or lies outside all that is on record."""
    day = need(newest(family), "date", facts.date)
    rule_on("MEDICARE-HORIZON", day)
    return day


def service_day_or_latest(facts: Facts, family: str) -> dt.date:
    """The day of the service; the first day of the newest rule where none was given, for questions about how things stand."""
    if facts.date is None:
        return need(newest(family), "date", newest(family).valid_from)
    return service_day(facts, family)


def months_of(rule: Rule) -> int:
    """The period of a rule, in calendar months."""
    return need(rule, "months", rule.months)


def add_months(day: dt.date, months: int) -> dt.date:
    """The same day so many months on (or back, where negative), or that month's last day where it has no such day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def shown(text: object) -> str:
    """What somebody gave, quoted and short enough for a message."""
    return repr(text)[:60]


def problems(errors: list[Any]) -> str:
    """The faults that pydantic found, each with the fact's name and what was given."""
    said = []
    for fault in errors:
        name = ".".join(str(part) for part in fault["loc"])
        what = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            said.append(f"unknown fact {name!r}")
        else:
            said.append(f"{name} {shown(fault['input'])}: {what}" if name else what)
    return "; ".join(said)
