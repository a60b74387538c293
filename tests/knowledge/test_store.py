"""The knowledge as a whole: what is wrong with it, what changes when, and that it says so."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.errors import KnowledgeError
from bedside.knowledge.facts import Fact
from bedside.knowledge.protocol import Protocol, load_protocol
from bedside.knowledge.sayings import Helpline
from bedside.knowledge.store import changes_between, changes_on, check, everything, facts, show

DAY = date(2026, 11, 22)


def _line(fact_id: str, number: str, **more: object) -> Helpline:
    return Helpline.model_validate(
        {"id": fact_id, "name": fact_id, "number": number, "use": "a test", "source": "a test", "certainty": "C", **more}
    )


def _with(*added: Fact, shelf: str = "helplines") -> Protocol:
    return Protocol(added={shelf: added})


def test_built_in_knowledge_has_no_faults() -> None:
    assert [finding for finding in check(DAY) if finding.is_error] == []


def test_nothing_claims_a_reviewer_that_it_does_not_have() -> None:
    every = [fact for shelf in everything().values() for fact in shelf]
    unreviewed = {finding.id for finding in check(DAY) if finding.kind == "unreviewed"}
    assert unreviewed == {fact.id for fact in every if fact.reviewed_by is None}


def test_co_payment_of_2027_is_announced() -> None:
    changed = changes_on(date(2027, 1, 1))
    assert any(change.kind == "begins" and "indexed" in str(getattr(change.fact, "text", "")) for change in changed)


def test_bulk_billing_change_of_november_2025_is_announced() -> None:
    changed = changes_on(date(2025, 11, 1))
    assert any("bulk" in str(getattr(change.fact, "text", "")).lower() for change in changed)


def test_a_day_without_changes_has_none() -> None:
    assert changes_on(date(2026, 11, 21)) == ()


@settings(deadline=None)
@given(st.dates(date(2020, 1, 1), date(2029, 1, 1)), st.integers(0, 900))
def test_changes_between_are_the_changes_of_each_day(first: date, length: int) -> None:
    last = date.fromordinal(first.toordinal() + length)
    middle = date.fromordinal(first.toordinal() + length // 2)
    after = date.fromordinal(middle.toordinal() + 1)
    assert changes_between(first, last) == changes_between(first, middle) + changes_between(after, last)


def test_unconfirmed_national_nurse_line_has_no_digits() -> None:
    (line,) = show("1800medicare")
    assert isinstance(line, Helpline)
    assert line.number is None
    assert line.note


def test_unknown_id_names_near_ones() -> None:
    with pytest.raises(KnowledgeError, match="lifeline"):
        show("lifelin")


def test_fact_of_another_time_is_found_as_expired_or_not_yet_valid() -> None:
    overlay = _with(_line("old", "13 00 01", valid_to=date(2026, 11, 21)), _line("new", "13 00 02", valid_from=date(2026, 11, 23)))
    kinds = {finding.id: finding.kind for finding in check(DAY, overlay) if finding.kind != "unreviewed"}
    assert (kinds["old"], kinds["new"]) == ("expired", "not-yet-valid")
    assert "old" not in {finding.id for finding in check(date(2026, 11, 21), overlay) if finding.kind == "expired"}


def test_two_helplines_with_one_number_are_a_conflict() -> None:
    found = [finding for finding in check(DAY, _with(_line("local.line", "131 114"))) if finding.is_error]
    assert [(finding.kind, finding.id) for finding in found] == [("conflict", "lifeline")]


def test_one_fact_with_two_values_at_once_is_a_conflict_and_in_turn_is_none() -> None:
    first, second = _line("local", "13 00 01", valid_to=date(2026, 12, 31)), _line("local", "13 00 02", valid_from=date(2026, 12, 31))
    later = _line("local", "13 00 02", valid_from=date(2027, 1, 1))
    assert [f.kind for f in check(DAY, _with(first, second)) if f.is_error] == ["conflict"]
    assert [f.kind for f in check(DAY, _with(first, later)) if f.is_error] == []
    assert show("local", _with(later, first)) == (first, later)


def test_same_fact_twice_is_a_duplicate() -> None:
    assert [f.kind for f in check(DAY, _with(*[_line("local", "13 00 01")] * 2)) if f.kind == "duplicate"] == ["duplicate"]


def test_text_that_names_a_missing_or_expired_helpline_is_a_dead_reference(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "add: {approved_texts: [{id: x.a, text: 'Call {nobody.number}.', source: test, certainty: C},"
        " {id: x.b, text: 'Call {healthdirect.number}.', source: test, certainty: C}]}"
    )
    found = {f.id: f.problem for f in check(DAY, load_protocol(tmp_path / "p.yaml")) if f.kind == "dead-reference"}
    assert "does not exist" in found["x.a"]
    assert "does not hold" in found["x.b"]


def test_unknown_shelf_is_refused() -> None:
    with pytest.raises(KnowledgeError, match="helplines"):
        facts("helpline")
