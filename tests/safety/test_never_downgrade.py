"""The proof that nothing lowers a red flag without a named human: exhaustive over dispositions, overlays and model outputs, and at random.

A caller is lowered when the decision is not as urgent as every rule that fired says by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import chain, combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.knowledge.dispositions import dispositions
from bedside.knowledge.protocol import Protocol, RuleChange, SignOff
from bedside.safety.urgency import Fired, HumanDecision, decide, raised

DAY = date(2026, 11, 22)
NAMES = tuple(dispositions())
MODEL = (None, "", "not a disposition", *NAMES)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
SIGNATURES = {
    "in force": SignOff(by="Dr Jo Example", role="gp", date=date(2026, 11, 2), reason="nurse on site"),
    "expired": SignOff(by="Dr Jo Example", role="gp", date=date(2026, 1, 2), reason="nurse on site", valid_to=date(2026, 11, 21)),
    "of the future": SignOff(by="Dr Jo Example", role="gp", date=date(2026, 11, 23), reason="nurse on site"),
}


def _is_lowered(decision: str, rules: Iterable[Fired]) -> bool:
    return any(raised(decision, fired.disposition) != decision for fired in rules)


def _overlay(was: str, to: str, signature: SignOff | None) -> Protocol:
    """A protocol as `load_protocol` leaves it: what does not raise is signed."""
    change = RuleChange(rule="A", was=was, to=to, sign_off=signature)
    return Protocol(raised=(change,)) if raised(was, to) == to else Protocol(lowered=(change,))


def test_model_never_lowers_one_or_two_or_three_rules() -> None:
    sets = chain.from_iterable(combinations(NAMES, size) for size in (1, 2, 3))
    for places, said in product(list(sets), MODEL):
        rules = [Fired(f"R{number}", place) for number, place in enumerate(places)]
        assert not _is_lowered(decide(rules, said, day=DAY).disposition, rules)


@pytest.mark.parametrize("state", ["expired", "of the future"])
def test_overlay_without_a_signature_in_force_never_lowers(state: str) -> None:
    for was, to, other, said in product(NAMES, NAMES, NAMES, MODEL):
        rules = [Fired("A", was), Fired("B", other)]
        assert not _is_lowered(decide(rules, said, _overlay(was, to, SIGNATURES[state]), day=DAY).disposition, rules)


def test_signed_overlay_lowers_its_own_route_only_and_names_who_signed() -> None:
    for was, to, other, said in product(NAMES, NAMES, NAMES, MODEL):
        decision = decide([Fired("A", was), Fired("B", other)], said, _overlay(was, to, SIGNATURES["in force"]), day=DAY)
        assert not _is_lowered(decision.disposition, [Fired("B", other)])
        if _is_lowered(decision.disposition, [Fired("A", was)]):
            assert any("Dr Jo Example" in reason.note for reason in decision.because)
        unchanged = next(name for name in NAMES if name != was)
        still = decide([Fired("A", unchanged)], said, _overlay(was, to, SIGNATURES["in force"]), day=DAY)
        assert not _is_lowered(still.disposition, [Fired("A", unchanged)])


def test_only_a_clinician_lowers_in_the_call() -> None:
    for place, said, wanted, role in product(NAMES, MODEL, NAMES, ("gp", "receptionist")):
        human = HumanDecision(wanted, "Sam Example", role, NOW, "heard the caller")
        rules = [Fired("A", place)]
        decision = decide(rules, said, None, human, day=DAY)
        assert decision.because[-1].who == "Sam Example"
        if role == "receptionist":
            assert not _is_lowered(decision.disposition, rules)
        else:
            assert decision.disposition == wanted


RULES = st.lists(st.builds(Fired, st.sampled_from(["A", "B", "C"]), st.sampled_from(NAMES)), min_size=1, max_size=6)
CHANGES = st.dictionaries(
    st.tuples(st.sampled_from(["A", "B", "C"]), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(NAMES), st.sampled_from(sorted(SIGNATURES))),
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(RULES, CHANGES, st.none() | st.sampled_from(NAMES) | st.text(max_size=12))
def test_whatever_comes_together_no_lowering_is_without_a_name(
    rules: list[Fired], changes: dict[tuple[str, str], tuple[str, str]], said: str | None
) -> None:
    made = [RuleChange(rule=rule, was=was, to=to, sign_off=SIGNATURES[state]) for (rule, was), (to, state) in changes.items()]
    up = tuple(change for change in made if change.was and raised(change.was, change.to) == change.to)
    decision = decide(rules, said, Protocol(raised=up, lowered=tuple(change for change in made if change not in up)), day=DAY)
    signed = {(change.rule, change.was) for change in made if change not in up and change.sign_off is SIGNATURES["in force"]}
    assert not _is_lowered(decision.disposition, [fired for fired in rules if tuple(fired) not in signed])
    if _is_lowered(decision.disposition, rules):
        assert any("Dr Jo Example" in reason.note for reason in decision.because)
