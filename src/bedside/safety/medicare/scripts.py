"""Whether a referral or a prescription is still good, and whether a medicine is monitored."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AliasChoices, BeforeValidator, Field

from bedside.knowledge.medicare import Rule
from bedside.safety import medicines
from bedside.safety.medicare.answers import (
    Answer,
    Date,
    Facts,
    Last,
    Tables,
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

State = Annotated[
    Literal["ACT", "NSW", "NT", "QLD", "SA", "TAS", "VIC", "WA"] | None,
    spoken(
        **{state.lower(): state for state in ("ACT", "NSW", "NT", "QLD", "SA", "TAS", "VIC", "WA")},
        victoria="VIC",
        new_south_wales="NSW",
        queensland="QLD",
        tasmania="TAS",
        western_australia="WA",
        south_australia="SA",
        northern_territory="NT",
        australian_capital_territory="ACT",
    ),
]


def _read_period(value: object) -> object:
    words = value.lower().split() if isinstance(value, str) else []
    if words and words[0].isdecimal() and words[1:] in ([], ["month"], ["months"]):
        return int(words[0])
    return value


_referrer = spoken(
    general_practitioner="gp",
    gp_to_specialist="gp",
    consultant="specialist",
    consultant_physician="specialist",
    specialist_to_specialist="specialist",
)


class ReferralFacts(Facts):
    """Facts of `referral_valid`."""

    past: ClassVar[tuple[str, ...]] = ("first_attendance",)
    kind: Annotated[Literal["gp", "specialist"] | None, _referrer] = Field(default=None, description="who referred")
    first_attendance: Last = Field(default=None, description="first attendance under this referral; null: none yet")
    stated_period: Annotated[Annotated[int, Field(ge=1, le=120)] | Literal["indefinite"] | None, BeforeValidator(_read_period)] = Field(
        default=None, validation_alias=AliasChoices("stated_period", "period"), description="months, or 'indefinite'"
    )
    admitted: bool = Field(default=False, description="still in the hospital admission in which the referral was made")
    new_condition: bool = Field(default=False, description="the visit is for a condition that the referral does not name")


def referral_valid(facts: ReferralFacts, _tables: Tables) -> Answer:
    """Whether a referral is good on that day; the value is its last day, where it has one."""
    day = service_day(facts, "REF-2")
    started = rule_on("REF-2", day)
    if facts.new_condition:
        return answer(rule_on("REF-1-NEW", day), "no", "A new condition needs a new referral")
    kind = need(started, "kind", facts.kind)
    first = facts.past_day("first_attendance", started)
    if first is None:
        return answer(started, "yes", "The period begins at the first attendance, which has not been yet")
    if kind == "gp" and facts.stated_period == "indefinite":
        return answer(rule_on("REF-1-INDEFINITE", day), "yes", "It was made without an end")
    if kind == "specialist" and facts.admitted:
        return answer(rule_on("REF-1-ADMITTED", day), "yes", "The patient is still in that admission")
    rule, months = _period(facts, kind == "gp")
    end = add_months(first, months)
    verdict: Literal["yes", "no"] = "yes" if day <= end else "no"
    return answer(rule, verdict, f"It began on {first} and its last day is {end}", end.isoformat())


def _period(facts: ReferralFacts, from_gp: bool) -> tuple[Rule, int]:
    """The rule that sets the length, and the months."""
    stated = facts.stated_period if isinstance(facts.stated_period, int) else None
    if from_gp:
        usual = newest("REF-1-GP")
        return (newest("REF-1-STATED"), stated) if stated else (usual, months_of(usual))
    rule = newest("REF-1-SPECIALIST")
    return rule, min(stated or months_of(rule), months_of(rule))


class ScriptFacts(Facts):
    """Facts of `script_valid`."""

    schedule: Annotated[Literal["S4", "S8"] | None, BeforeValidator(lambda name: _read_schedule(name))] = None
    written: Date = Field(default=None, description="day on which the prescription was written")
    state: State = Field(default=None, description="where it is supplied; decides for schedule 8")
    repeat: bool = Field(default=False, description="a repeat, not the first supply")
    interval_written: bool | None = Field(default=None, description="the prescription says how far apart repeats are; asked for in NSW")


def _read_schedule(name: object) -> object:
    if not isinstance(name, str | int):
        return name
    return "S" + str(name).upper().replace("SCHEDULE", "").strip().removeprefix("S")


def script_valid(facts: ScriptFacts, _tables: Tables) -> Answer:
    """Whether a prescription can still be supplied on that day; the value is its last day."""
    day = service_day(facts, "PBS-6-S4")
    general = rule_on("PBS-6-S4", day)
    written = need(general, "written", facts.written)
    if day < written:
        return answer(rule_on("PBS-6-FORWARD", day), "no", f"It is dated {written}, after {day}")
    rule = general
    if need(general, "schedule", facts.schedule) == "S8":
        rule = rule_on("PBS-6-S8", day)
        if need(rule, "state", facts.state) == "NT":
            return answer(rule_on("PBS-6-S8-NT", day), "unknown", "The Northern Territory's period for schedule 8 is not on record")
        if facts.state == "NSW" and facts.repeat:
            spaced = rule_on("PBS-6-S8-NSW", day)
            if not need(spaced, "interval_written", facts.interval_written):
                return answer(spaced, "no", "The prescription does not say how far apart its repeats are")
    end = add_months(written, months_of(rule))
    verdict: Literal["yes", "no"] = "yes" if day <= end else "no"
    return answer(rule, verdict, f"It was written on {written} and its last day is {end}", end.isoformat())


class MonitoredFacts(Facts):
    """Facts of `monitored`."""

    medicine: str | None = Field(default=None, max_length=200, description="brand, generic, class or slang name")
    state: State = None


def monitored(facts: MonitoredFacts, _tables: Tables) -> Answer:
    """Whether requests for a medicine go to the usual prescriber (M-1); the value is the list it is on. An unknown medicine is never a no."""
    policy = newest("M-1")
    medicine = need(policy, "medicine", facts.medicine)
    found, by = medicines.monitored(medicine, facts.state)
    if found is None:
        return answer(policy, "unknown", f"The medicine {shown(medicine)} is not on record")
    if found:
        return answer(policy, "yes", "Take a message and offer an appointment with the usual prescriber", by)
    return answer(policy, "no", "The medicine is on record and not monitored")
