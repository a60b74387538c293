"""The 14 Medicare and PBS checks, by the day of the service. Each answers yes, no or unknown with the rule and its source.

They state rules for staff and for templates. None promises a benefit or chooses the item for the practitioner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bedside.errors import KnowledgeError
from bedside.safety.medicare.answers import Answer, Facts, Tables, Undecided, problems
from bedside.safety.medicare.attendances import (
    HoursFacts,
    IncentiveFacts,
    LevelFacts,
    after_hours_class,
    bb_incentive,
    level_from_minutes,
)
from bedside.safety.medicare.fees import ItemFacts, QuoteFacts, fee_quote, item_active
from bedside.safety.medicare.pbs import CopayFacts, SixtyDayFacts, copay, sixty_day
from bedside.safety.medicare.plans import AlliedFacts, AssessmentFacts, PlanFacts, allied_access, ha_ok, plan_due
from bedside.safety.medicare.scripts import MonitoredFacts, ReferralFacts, ScriptFacts, monitored, referral_valid, script_valid
from bedside.safety.medicare.telehealth import TelehealthFacts, telehealth_ok

__all__ = ["CHECKS", "Answer", "Check", "Facts", "Tables", "run_check"]


@dataclass(frozen=True, slots=True)
class Check:
    """A check: what it takes (`facts.model_json_schema()` describes it) and the function that decides."""

    facts: type[Facts]
    decide: Callable[[Any, Tables], Answer]


CHECKS: dict[str, Check] = {
    "telehealth_ok": Check(TelehealthFacts, telehealth_ok),
    "plan_due": Check(PlanFacts, plan_due),
    "allied_access": Check(AlliedFacts, allied_access),
    "ha_ok": Check(AssessmentFacts, ha_ok),
    "referral_valid": Check(ReferralFacts, referral_valid),
    "script_valid": Check(ScriptFacts, script_valid),
    "copay": Check(CopayFacts, copay),
    "sixty_day": Check(SixtyDayFacts, sixty_day),
    "bb_incentive": Check(IncentiveFacts, bb_incentive),
    "after_hours_class": Check(HoursFacts, after_hours_class),
    "monitored": Check(MonitoredFacts, monitored),
    "fee_quote": Check(QuoteFacts, fee_quote),
    "level_from_minutes": Check(LevelFacts, level_from_minutes),
    "item_active": Check(ItemFacts, item_active),
}


def run_check(name: str, facts: Mapping[str, Any], tables: Tables | None = None) -> Answer:
    """Run one check.

    Args:
        name: a key of `CHECKS`.
        facts: what is known, by the names of the check's facts model.
        tables: the practice's imported tables, if it has any.

    Raises:
        KnowledgeError: no such check, or facts that it does not know or cannot read; all of them are named.
    """
    check = CHECKS.get(name)
    if check is None:
        raise KnowledgeError(f"There is no check {name[:60]!r}", f"Use one of {', '.join(CHECKS)}")
    if not isinstance(facts, Mapping):
        raise KnowledgeError(f"The facts of {name} are {type(facts).__name__}, not a mapping", 'Give them like {"date": "2026-11-22"}')
    try:
        known = check.facts.model_validate(dict(facts))
    except ValidationError as error:
        allowed = ", ".join(check.facts.model_fields)
        raise KnowledgeError(f"{name}: {problems(error.errors(include_url=False))}", f"It takes {allowed}") from error
    try:
        return check.decide(known, tables or Tables())
    except Undecided as undecided:
        return undecided.answer
