"""Whether Medicare's rules allow a video or phone attendance."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, Field, model_validator

from bedside.knowledge import medicare
from bedside.knowledge.medicare import Rule
from bedside.safety.medicare.answers import (
    Answer,
    AnyLevel,
    Facts,
    Last,
    MyMedicare,
    Tables,
    add_months,
    answer,
    months_of,
    need,
    rule_on,
    service_day,
    spoken,
)


class TelehealthFacts(Facts):
    """Facts of `telehealth_ok`; those of the patient may also come as a mapping `patient`."""

    past: ClassVar[tuple[str, ...]] = ("last_face_to_face",)
    mode: Annotated[
        Literal["video", "phone"] | None,
        spoken(telephone="phone", audio="phone", phone_call="phone", videoconference="video", video_call="video"),
    ] = None
    level: AnyLevel = None
    purpose: Annotated[Literal["attendance", "mental_health_plan", "care_plan"], spoken()] = "attendance"
    last_face_to_face: Last = Field(
        default=None, validation_alias=AliasChoices("last_face_to_face", "last_f2f", "last_in_person", "last_visit", "last_seen")
    )
    mymedicare: MyMedicare = None
    age: Decimal | None = Field(default=None, ge=0, description="years; below 1 for a child under 12 months")
    age_months: int | None = Field(default=None, ge=0)
    exemptions: tuple[Annotated[str, spoken()], ...] = Field(
        default=(), validation_alias=AliasChoices("exemptions", "exemption", "exempt"), description="such as homeless, isolation, ams"
    )

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, facts: dict[str, Any]) -> dict[str, Any]:
        patient = facts.get("patient")
        if isinstance(patient, Mapping):
            facts = {**patient, **{name: value for name, value in facts.items() if name != "patient"}}
        return {name: (value,) if name.startswith("exempt") and isinstance(value, str) else value for name, value in facts.items()}

    @model_validator(mode="after")
    def _known_exemptions(self) -> TelehealthFacts:
        known = {word for family in ("TH-X", "TH-X-DISPUTED") for rule in medicare.rules()[family] for word in rule.words}
        for name in self.exemptions:
            if name not in known:
                raise ValueError(f"unknown exemption {name!r}, known are {', '.join(sorted(known))}")
        return self


def telehealth_ok(facts: TelehealthFacts, _tables: Tables) -> Answer:
    """Whether a video or phone attendance may be claimed (TH-1, TH-2, CCM-8, TH-MH)."""
    day = service_day(facts, "TH-1")
    established = rule_on("TH-1", day)
    mode = need(established, "mode", facts.mode)
    if mode == "phone" and facts.purpose == "care_plan":
        return answer(rule_on("CCM-8", day), "no", "Plans have no phone item")
    if mode == "phone" and facts.purpose == "attendance":
        level = need(established, "level", facts.level)
        if level == "E":
            return answer(rule_on("TH-2-E", day), "no", "Level E has no phone item")
        if level in ("C", "D"):
            return _mymedicare_only(facts, rule_on("TH-2", day), level)
    exempt = _exemption(facts, "TH-X", day)
    if exempt:
        return answer(exempt, "yes", exempt.text.rstrip("."))
    seen = _relationship(facts, established, day)
    if seen.answer == "no" and facts.purpose == "mental_health_plan":
        rule = rule_on("TH-MH", day)
        if need(rule, "mymedicare", facts.mymedicare):
            return answer(rule, "yes", "The patient is registered at the practice through MyMedicare")
    return seen


def _mymedicare_only(facts: TelehealthFacts, rule: Rule, level: str) -> Answer:
    if need(rule, "mymedicare", facts.mymedicare):
        return answer(rule, "yes", f"The patient is registered through MyMedicare, which phone Level {level} needs")
    return answer(rule, "no", f"Phone Level {level} is only for patients registered at the practice through MyMedicare")


def _relationship(facts: TelehealthFacts, rule: Rule, day: dt.date) -> Answer:
    last = facts.past_day("last_face_to_face", rule)
    since = add_months(day, -months_of(rule))
    if last and last >= since:
        return answer(rule, "yes", f"The patient was seen face to face on {last}, not before {since}")
    because = f"The patient was not seen face to face since {since}, and nothing was given that exempts"
    return answer(_exemption(facts, "TH-X-DISPUTED", day) or rule, "no", because)


def _exemption(facts: TelehealthFacts, family: str, day: dt.date) -> Rule | None:
    """The first rule of the family that exempts the patient on the day of the service."""
    names = set(facts.exemptions)
    if facts.age is not None and facts.age < 1:
        names.add("infant")
    if facts.purpose == "mental_health_plan":
        names.add("mental_health")
    for rule in medicare.rules()[family]:
        young = rule.months is not None and facts.age_months is not None and facts.age_months < rule.months
        if rule.holds_on(day) and (young or names & set(rule.words)):
            return rule
    return None
