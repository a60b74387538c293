"""Levels by length, after-hours classes, and bulk-billing incentives."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated

from pydantic import AliasChoices, BeforeValidator, Field

from bedside.knowledge import medicare
from bedside.knowledge.medicare import Item, Rule
from bedside.safety.medicare.answers import (
    Answer,
    Day,
    Facts,
    ItemNumber,
    MyMedicare,
    Tables,
    Undecided,
    answer,
    need,
    newest,
    rule_on,
    service_day_or_latest,
    shown,
)


class LevelFacts(Facts):
    """Facts of `level_from_minutes`; without a date the present levels hold."""

    minutes: Decimal | None = Field(
        default=None,
        ge=0,
        le=1440,
        allow_inf_nan=False,
        validation_alias=AliasChoices("minutes", "m"),
        description="minutes with the patient",
    )


def level_from_minutes(facts: LevelFacts, _tables: Tables) -> Answer:
    """The level of an attendance by the minutes spent with the patient; the value is the letter."""
    rule = rule_on("LEVEL", service_day_or_latest(facts, "LEVEL"))
    minutes = need(rule, "minutes", facts.minutes)
    level = max((start, letter) for letter, start in rule.values.items() if start <= minutes)[1]
    return answer(rule, "yes", f"Level {level} begins at {rule.values[level]} minutes with the patient", level)


def _read_moment(value: object) -> object:
    moment = dt.datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
    if moment is not None and not isinstance(moment, dt.datetime):
        raise ValueError("a moment has to be written like 2025-11-01T18:30")
    if moment is not None and moment.tzinfo is not None:
        raise ValueError("give the local time where the service is, without an offset")
    return moment


class HoursFacts(Facts):
    """Facts of `after_hours_class`."""

    datetime: Annotated[dt.datetime | None, BeforeValidator(_read_moment)] = Field(default=None, description="begin, in local time")
    state_holidays: tuple[Day, ...] | None = Field(
        default=None,
        validation_alias=AliasChoices("state_holidays", "public_holidays", "holidays"),
        description="public holidays where the service is given",
    )


def after_hours_class(facts: HoursFacts, _tables: Tables) -> Answer:
    """Whether an attendance in rooms is after hours; the value is `in_hours`, `urgent_only`, `after_hours` or `unsociable`.

    `urgent_only`: after hours for urgent attendances (item 585), but in hours for those in rooms (items 5000 to 5071). On the stroke of an
    hour that ends ordinary hours it is still in hours.
    """
    moment = need(newest("AH-ROOMS"), "datetime", facts.datetime)
    day = moment.date()
    rule_on("MEDICARE-HORIZON", day)
    late, rooms, urgent = (rule_on(family, day) for family in ("AH-UNSOCIABLE", "AH-ROOMS", "AH-URGENT"))
    clock = moment.time()
    if clock >= _hour(late, "from") or clock < _hour(late, "to"):
        return answer(late, "yes", "It begins between 11 pm and 7 am", "unsociable")
    if _after_hours(rooms, clock, day.weekday()):
        return answer(rooms, "yes", "It begins outside the hours of rooms", "after_hours")
    if day in need(rooms, "state_holidays", facts.state_holidays):
        return answer(rooms, "yes", "It is a public holiday", "after_hours")
    if _after_hours(urgent, clock, day.weekday()):
        return answer(urgent, "no", "It is after hours for urgent attendances only", "urgent_only")
    return answer(rooms, "no", "It begins in hours", "in_hours")


def _after_hours(rule: Rule, clock: dt.time, weekday: int) -> bool:
    """Whether that time lies outside ordinary hours on that weekday, 0 for Monday."""
    if weekday == 6:
        return True
    name = "saturday" if weekday == 5 else "weekday"
    return clock < _hour(rule, f"{name}_from") or clock > _hour(rule, f"{name}_to")


def _hour(rule: Rule, name: str) -> dt.time:
    return dt.time(int(rule.values[name]))


def _read_area(value: object) -> object:
    return value.upper().removeprefix("MM").strip() if isinstance(value, str) else value


class IncentiveFacts(Facts):
    """Facts of `bb_incentive`; without a date the present rules hold."""

    mm: Annotated[int | None, BeforeValidator(_read_area)] = Field(
        default=None, ge=1, le=7, validation_alias=AliasChoices("mm", "mmm"), description="Modified Monash area of the practice"
    )
    item: ItemNumber = None
    mymedicare: MyMedicare = None
    bulk_billed: bool | None = None
    admitted: bool = Field(default=False, description="an admitted patient of a hospital")
    concession: bool | None = Field(default=None, description="holds a Commonwealth concession card; asked for before November 2025")
    age: int | None = Field(default=None, ge=0, le=130, description="years; asked for before November 2025")


def bb_incentive(facts: IncentiveFacts, _tables: Tables) -> Answer:
    """Whether a bulk-billing incentive goes with an item; the value is the incentive's item."""
    day = service_day_or_latest(facts, "BB-WHO")
    who = rule_on("BB-WHO", day)
    if facts.admitted:
        return answer(who, "no", "Admitted patients have no incentive")
    if not need(who, "bulk_billed", facts.bulk_billed):
        return answer(who, "no", "The service is not bulk billed")
    item = medicare.items().get(need(who, "item", facts.item))
    if item is None:
        raise Undecided(who, f"MBS item {shown(facts.item)} is not on record")
    if not item.holds_on(day):
        return answer(item, "no", f"Item {item.item} could not be claimed on {day}")
    if not _entitled(facts, who):
        return answer(who, "no", "The patient is neither a child of that age nor a concession card holder")
    if item.mymedicare and not need(who, "mymedicare", facts.mymedicare):
        return answer(rule_on("TH-2", day), "no", f"Item {item.item} is only for patients registered through MyMedicare")
    rule = rule_on(_incentive(facts, item), day)
    return answer(rule, "yes", f"It goes with item {item.item} where all else is met", rule.items[str(need(rule, "mm", facts.mm))])


def _entitled(facts: IncentiveFacts, who: Rule) -> bool:
    """Whether the patient is of the group that the incentive is for."""
    under_age = who.values.get("under_age")
    if under_age is None or facts.concession or (facts.age is not None and facts.age < under_age):
        return True
    need(who, "concession", facts.concession)
    need(who, "age", facts.age)
    return False


def _incentive(facts: IncentiveFacts, item: Item) -> str:
    """The family of incentives that goes with an item."""
    if item.level in (None, "A"):
        return "BB-SINGLE"
    if item.mode == "face_to_face" or item.level == "B":
        return "BB-TRIPLE"
    return "BB-MYMEDICARE" if need(newest("BB-MYMEDICARE"), "mymedicare", facts.mymedicare) else "BB-SINGLE"
