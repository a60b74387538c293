"""What a patient pays for a PBS medicine, and which medicines may be written for 60 days."""

from __future__ import annotations

from itertools import product
from typing import Annotated

from pydantic import Field

from bedside.knowledge import medicare
from bedside.knowledge.medicare import Rule
from bedside.knowledge.pbs_items import sixty_day_listing
from bedside.safety import medicines
from bedside.safety.medicare.answers import Answer, Facts, Tables, Undecided, answer, need, newest, rule_on, service_day, shown


class CopayFacts(Facts):
    """Facts of `copay`."""

    concession: bool | None = Field(default=None, description="holds a concession card")
    ctg: bool | None = Field(default=None, description="registered for Closing the Gap")
    safety_net: bool | None = Field(default=None, description="has reached the Safety Net this year")


def copay(facts: CopayFacts, _tables: Tables) -> Answer:
    """The most that a patient pays for one PBS medicine, as value in dollars; no: there is nothing to pay."""
    day = service_day(facts, "PBS-1")
    rule = rule_on("PBS-1", day)
    steps = {"concession": facts.concession, "ctg": facts.ctg, "safety_net": facts.safety_net}
    unknown = tuple(name for name, taken in steps.items() if taken is None)
    # Facts that are not known may still all lead to one amount, such as nothing to pay for a concession holder beyond the Safety Net.
    charges = {_charge(sum(taken)) for taken in product(*((False, True) if step is None else (step,) for step in steps.values()))}
    if len(charges) > 1:
        raise Undecided(rule, f"It depends on {' and '.join(unknown)}", unknown)
    charge = charges.pop()
    if charge == "nothing":
        reason = newest("PBS-4" if facts.ctg else "PBS-2")
        return answer(reason, "no", "There is no co-payment, though a brand premium may be charged", "0.00")
    if charge not in rule.values:
        raise Undecided(rule, f"The {charge} amount is not on record for {day}")
    return answer(rule, "yes", f"The {charge} co-payment is the most charged, apart from a brand premium", f"{rule.values[charge]:.2f}")


def _charge(steps: int) -> str:
    """Each of concession, Safety Net and Closing the Gap takes the patient one step down."""
    return ("general", "concession", "nothing")[min(steps, 2)]


class SixtyDayFacts(Facts):
    """Facts of `sixty_day`."""

    item: Annotated[str | None, Field(max_length=200, description="PBS item code, such as 8213G, or a name of the medicine")] = None


def sixty_day(facts: SixtyDayFacts, tables: Tables) -> Answer:
    """Whether a medicine may be prescribed for 60 days; the imported PBS table of the month decides before the built-in stages."""
    first = newest("PBS-5")
    day = service_day(facts, "PBS-5")
    item = need(first, "item", facts.item)
    if not first.holds_on(day):
        return answer(first, "no", f"There were no 60-day prescriptions before {first.valid_from}")
    names = (item, _generic(item))
    listed = next((found for name in names if tables.pbs and (found := sixty_day_listing(tables.pbs, name, day)) is not None), None)
    if listed is not None:
        said = "is" if listed else "is not"
        return answer(
            first, "yes" if listed else "no", f"It {said} marked for 60 days in the PBS table of that month; the prescriber decides"
        )
    stage = _stage(names[1])
    if stage is None:
        raise Undecided(first, f"{shown(item)} is not on record; import the PBS table of {day:%B %Y}")
    if not stage.holds_on(day):
        return answer(stage, "no", f"It became available for 60 days on {stage.valid_from}")
    return answer(stage, "yes", "Most forms may be written for 60 days in a stable condition; the prescriber decides")


def _generic(item: str) -> str:
    """The generic name of one medicine under any of its names, in lower case; what was given where it is no such name."""
    found = medicines.resolve(item)
    return next(iter(found.generics)) if found and found.whole and len(found.generics) == 1 else item


def _stage(name: str) -> Rule | None:
    return next((stage for stage in medicare.rules()["PBS-5-STAGE"] if name in stage.words), None)
