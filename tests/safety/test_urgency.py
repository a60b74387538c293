"""How dispositions come together."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from bedside.errors import KnowledgeError
from bedside.knowledge.dispositions import disposition, dispositions
from bedside.safety.urgency import Fired, HumanDecision, decide, most_urgent, raised

DAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
NAMES = tuple(dispositions())


def _level(name: str) -> int:
    return disposition(name).level


def _decided(place: str, role: str, by: str = "Sam Example") -> HumanDecision:
    return HumanDecision(place, by, role, NOW, "spoke with the caller")


def test_order_is_the_protocols() -> None:
    assert NAMES == ("E000", "E_CRISIS", "E_POISON", "ED_NOW", "NURSE_NOW", "HUMAN", "SAME_DAY", "SOON", "ROUTINE", "ADMIN")


def test_together_is_as_urgent_as_each_in_any_order() -> None:
    for one in NAMES:
        assert raised(one) == raised(one, one) == one
        for other in NAMES:
            both = raised(one, other)
            assert both == raised(other, one)
            assert raised(both, one) == both
            for third in NAMES:
                assert raised(both, third) == raised(one, raised(other, third)) == most_urgent(third, one, other)


def test_crisis_with_poison_is_an_emergency() -> None:
    assert most_urgent("E_CRISIS", "E_POISON") == "E000"


def test_doubt_never_ends_in_self_service_and_never_hides_an_emergency() -> None:
    for name in NAMES:
        assert _level(raised(name, "HUMAN")) >= _level("HUMAN")
        if disposition(name).emergency:
            assert raised(name, "HUMAN") == name


@pytest.mark.parametrize("said", ["", "fine", "e000", "ADMIN ", "\x00" * 1000])
def test_model_output_that_is_no_disposition_is_doubt(said: str) -> None:
    assert decide([Fired("X", "ADMIN")], said, day=DAY).disposition == "HUMAN"
    assert decide([Fired("X", "E000")], said, day=DAY).disposition == "E000"


def test_nothing_known_goes_to_a_person() -> None:
    assert decide([], day=DAY).disposition == "HUMAN"


def test_rule_that_leads_nowhere_known_is_an_error_and_not_ignored() -> None:
    with pytest.raises(KnowledgeError, match="E999"):
        decide([Fired("X", "E999")], day=DAY)


def test_every_voice_is_kept_with_the_lower_ones() -> None:
    decision = decide([Fired("RF51", "ED_NOW"), Fired("RF63", "SAME_DAY")], "ADMIN", day=DAY)
    assert [(reason.who, reason.disposition) for reason in decision.because] == [
        ("RF51", "ED_NOW"),
        ("RF63", "SAME_DAY"),
        ("model", "ADMIN"),
    ]


@pytest.mark.parametrize("role", ["gp", "GP", "registered nurse", "Nurse Practitioner"])
def test_clinician_may_lower_and_is_named(role: str) -> None:
    decision = decide([Fired("RF01", "E000")], "E000", None, _decided("SAME_DAY", role), day=DAY)
    assert decision.disposition == "SAME_DAY"
    assert decision.because[-1].who == "Sam Example"
    assert decision.because[0].disposition == "E000"


@pytest.mark.parametrize("role", ["receptionist", "practice manager", "ai assistant"])
def test_others_may_only_raise(role: str) -> None:
    rules = [Fired("RF51", "ED_NOW")]
    lowered = decide(rules, None, None, _decided("ROUTINE", role), day=DAY)
    assert lowered.disposition == "ED_NOW"
    assert "may not lower" in lowered.because[-1].note
    assert decide(rules, None, None, _decided("E000", role), day=DAY).disposition == "E000"


@pytest.mark.parametrize(
    ("by", "role", "place"), [("", "gp", "SOON"), ("  ", "gp", "SOON"), ("42", "gp", "SOON"), ("Sam", "", "SOON"), ("Sam", "gp", "LATER")]
)
def test_decision_without_a_name_role_or_place_is_refused(by: str, role: str, place: str) -> None:
    with pytest.raises(KnowledgeError):
        _decided(place, role, by)
