"""Chronic condition management plans, the allied health they give access to, and health assessments."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, ClassVar, Literal

from pydantic import AliasChoices, Field

from bedside.errors import KnowledgeError
from bedside.knowledge import medicare
from bedside.knowledge.medicare import Assessment
from bedside.safety.medicare.answers import (
    Answer,
    Facts,
    Last,
    Tables,
    Undecided,
    add_months,
    answer,
    months_of,
    need,
    newest,
    rule_on,
    service_day,
    shown,
    spoken,
)


class PlanFacts(Facts):
    """Facts of `plan_due`; plans of before July 2025 (721, 723) are no plans of this kind."""

    past: ClassVar[tuple[str, ...]] = ("last965", "last967")
    last965: Last = Field(default=None, validation_alias=AliasChoices("last965", "last_965", "last_plan", "last92029"))
    last967: Last = Field(default=None, validation_alias=AliasChoices("last967", "last_967", "last_review", "last92030"))
    residential_care: bool = Field(default=False, description="lives in a residential aged care home")
    mode: Annotated[Literal["face_to_face", "video", "phone"], spoken(telephone="phone", in_person="face_to_face")] = "face_to_face"


def plan_due(facts: PlanFacts, _tables: Tables) -> Answer:
    """Whether a plan may be prepared or reviewed on that day; the value is `prepare`, `review`, or the first day on which one may."""
    day = service_day(facts, "CCM-1")
    begun = rule_on("CCM-1", day)
    if facts.residential_care:
        return answer(rule_on("CCM-2", day), "no", "Residents of aged care homes cannot have a plan")
    if facts.mode == "phone":
        return answer(rule_on("CCM-8", day), "no", "Plans have no phone item")
    prepare, review = rule_on("CCM-3-PREPARE", day), rule_on("CCM-3-REVIEW", day)
    plan = facts.past_day("last965", prepare)
    if plan is None or plan < need(begun, "date", begun.valid_from):
        return answer(prepare, "yes", "There is no plan since July 2025; the clinician judges whether one is right", "prepare")
    again = add_months(plan, months_of(prepare))
    if again <= day:
        return answer(prepare, "yes", f"The last plan is of {plan}; a new one may be prepared since {again}", "prepare")
    due = add_months(plan, months_of(review))
    if due > day:
        return answer(review, "no", f"The last plan is of {plan}; it may be reviewed from {due}", due.isoformat())
    due = add_months(max(plan, facts.past_day("last967", review) or plan), months_of(review))
    if due > day:
        return answer(review, "no", f"It may be reviewed again from {due}", due.isoformat())
    return answer(review, "yes", f"A review may be claimed since {due}", "review")


class AlliedFacts(Facts):
    """Facts of `allied_access`."""

    past: ClassVar[tuple[str, ...]] = ("last_plan_or_review",)
    last_plan_or_review: Last = Field(
        default=None, validation_alias=AliasChoices("last_plan_or_review", "last_plan", "last_review", "last"), description="plan or review"
    )
    used: int | None = Field(default=None, ge=0, description="allied health services used in this calendar year; left out: not asked")
    indigenous: bool | None = Field(default=None, validation_alias=AliasChoices("indigenous", "atsi"))


def allied_access(facts: AlliedFacts, _tables: Tables) -> Answer:
    """Whether a plan gives access to allied health on that day; with `used`, the value is the number of services left."""
    day = service_day(facts, "CCM-3-ALLIED")
    rule = rule_on("CCM-3-ALLIED", day)
    plan = facts.past_day("last_plan_or_review", rule)
    if plan is None:
        return answer(rule, "no", "There is no plan")
    begun = need(rule, "date", rule_on("CCM-1", day).valid_from)
    since = add_months(day, -months_of(rule))
    transition = newest("CCM-6")
    if plan < begun and transition.holds_on(day):
        because = f"The plan of {plan} is from before {begun} and counts until {transition.valid_to}"
        return _allowance(facts, day, answer(transition, "yes", because))
    if plan < since:
        return answer(rule, "no", f"The last plan or review is of {plan}, before {since}")
    return _allowance(facts, day, answer(rule, "yes", f"The last plan or review is of {plan}, not before {since}"))


def _allowance(facts: AlliedFacts, day: dt.date, access: Answer) -> Answer:
    """The answer, or no where this year's services are used up."""
    if facts.used is None:
        return access
    common, more = rule_on("CCM-7", day), rule_on("CCM-7-ATSI", day)
    few, many = need(common, "count", common.count), need(more, "count", more.count)
    if facts.indigenous is None and few <= facts.used < many:
        raise Undecided(more, "It depends on indigenous", ("indigenous",))
    rule, limit = (more, many) if facts.indigenous else (common, few)
    if facts.used >= limit:
        return answer(rule, "no", f"All {limit} services of the calendar year are used", "0")
    return access if facts.indigenous is None else access.model_copy(update={"value": str(limit - facts.used)})


class AssessmentFacts(Facts):
    """Facts of `ha_ok`."""

    past: ClassVar[tuple[str, ...]] = ("last",)
    type: Annotated[str | None, spoken()] = Field(default=None, description="such as 45-49, t2dm, 75+, racf, 715, heart")
    age: int | None = Field(default=None, ge=0, le=130, description="years on the day of the service")
    last: Last = Field(default=None, description="last assessment of this type; null or 'never': none")


def ha_ok(facts: AssessmentFacts, _tables: Tables) -> Answer:
    """Whether the age and the time since the last one allow a health assessment; the value is the items to choose from."""
    kinds = medicare.assessments()
    kind = _kind(need(kinds[0], "type", facts.type))
    day = need(kind, "date", facts.date)
    rule_on("MEDICARE-HORIZON", day)
    if not kind.holds_on(day):
        raise Undecided(kind, f"No rule {kind.id} is on record for {day}")
    if kind.min_age is not None:
        age = need(kind, "age", facts.age)
        if not kind.min_age <= age <= (kind.max_age or age):
            return answer(kind, "no", f"It is for patients from {kind.min_age} years{f' to {kind.max_age}' if kind.max_age else ''}")
    last = facts.past_day("last", kind)
    if last is None:
        return _allowed(kind, "None is on record")
    if kind.months is None:
        return answer(kind, "no", f"It is allowed once ever and was done on {last}")
    again = add_months(last, kind.months)
    if again > day:
        return answer(kind, "no", f"The last was on {last}; the next may be on {again}", again.isoformat())
    return _allowed(kind, f"The last was on {last}")


def _allowed(kind: Assessment, why: str) -> Answer:
    return answer(kind, "yes", f"{why}; the clinician judges whether the patient is in the group", "/".join(kind.items))


def _kind(name: str) -> Assessment:
    for kind in medicare.assessments():
        if name in kind.words:
            return kind
    known = ", ".join(kind.words[0] for kind in medicare.assessments())
    raise KnowledgeError(f"There is no health assessment {shown(name)}", f"Give type as one of {known}")
