"""A practice's protocol: raising is free, lowering needs a signature, and a faulty file says what is wrong."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.errors import KnowledgeError
from bedside.knowledge.protocol import load_protocol
from bedside.knowledge.store import check, show

DAY = date(2026, 11, 22)
SIGNED = "sign_off: {by: Dr Jo Example, role: GP, date: 2026-11-02, reason: Nurse on site all day}"


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str) -> Path:
        path = tmp_path / "protocol.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def test_raising_is_free_and_lowers_nothing(write) -> None:
    protocol = load_protocol(write("changes: [{rule: RF51, to: E000}]"))
    assert protocol.lowered == ()
    assert [change.to for change in protocol.in_force("RF51", "ED_NOW", DAY)] == ["E000"]


def test_lowering_without_signature_is_refused(write) -> None:
    with pytest.raises(KnowledgeError, match="RF01 from E000 to ROUTINE without a signature"):
        load_protocol(write("changes: [{rule: RF01, to: ROUTINE}]"))


def test_crisis_and_poison_are_of_different_kinds_so_that_neither_raises_the_other(write) -> None:
    rule = "{id: LOCAL1, picture: x, source: test, certainty: C, routes: [{to: E_CRISIS, when: [help]}]}"
    with pytest.raises(KnowledgeError, match="without a signature"):
        load_protocol(write(f"add: {{red_flags: [{rule}]}}\nchanges: [{{rule: LOCAL1, to: E_POISON}}]"))


def test_signed_lowering_is_listed_in_reports_and_ends_with_its_signature(write) -> None:
    change = f"{{rule: RF01, from: E000, to: NURSE_NOW, {SIGNED[:-1]}, valid_to: 2026-12-31}}}}"
    protocol = load_protocol(write(f"changes: [{change}]"))
    assert [c.to for c in protocol.in_force("RF01", "E000", DAY)] == ["NURSE_NOW"]
    assert protocol.in_force("RF01", "E000", date(2026, 11, 1)) == ()
    assert protocol.in_force("RF01", "E000", date(2027, 1, 1)) == ()
    (shown,) = [finding.problem for finding in check(date(2027, 1, 1), protocol) if finding.kind == "lowered"]
    assert "Dr Jo Example" in shown
    assert "not in force" in shown


def test_lowering_one_route_leaves_the_others(write) -> None:
    protocol = load_protocol(write(f"changes: [{{rule: RF04, from: SAME_DAY, to: SOON, {SIGNED}}}]"))
    assert protocol.in_force("RF04", "E000", DAY) == ()


def test_rule_of_several_routes_is_not_lowered_as_a_whole(write) -> None:
    with pytest.raises(KnowledgeError, match="from"):
        load_protocol(write(f"changes: [{{rule: RF04, to: ROUTINE, {SIGNED}}}]"))


@pytest.mark.parametrize("role", ["receptionist", "practice manager", "registered nurse", "model", ""])
def test_only_a_doctor_may_sign_a_lowering(write, role: str) -> None:
    with pytest.raises(KnowledgeError, match="may not lower"):
        load_protocol(write(f"changes: [{{rule: RF01, to: ROUTINE, {SIGNED.replace('role: GP', f'role: {role!r}')}}}]"))


@pytest.mark.parametrize("missing", ["by: Dr Jo Example, ", "date: 2026-11-02, ", ", reason: Nurse on site all day", "role: GP, "])
def test_half_a_signature_is_none(write, missing: str) -> None:
    with pytest.raises(KnowledgeError, match="required"):
        load_protocol(write(f"changes: [{{rule: RF01, to: ROUTINE, {SIGNED.replace(missing, '')}}}]"))


@pytest.mark.parametrize("name", ["' '", "'---'", "'12 34'"])
def test_a_name_has_letters(write, name: str) -> None:
    with pytest.raises(KnowledgeError, match=r"sign_off\.by"):
        load_protocol(write(f"changes: [{{rule: RF01, to: ROUTINE, {SIGNED.replace('Dr Jo Example', name)}}}]"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("changes: [{rule: RF999, to: E000}]", "RF999"),
        ("changes: [{rule: RF01, to: URGENT}]", "URGENT"),
        ("changes: [{rule: RF01, from: ADMIN, to: E000}]", "ADMIN"),
        ("changes: [{rule: RF51, to: E000}, {rule: RF51, to: E000}]", "twice"),
        ("changes: {rule: RF01}", "changes"),
        ("chnages: []", "chnages"),
        ("add: {phones: []}", "phones"),
        ("add: {helplines: [{id: lifeline, name: Other, number: 13 00 01, use: x, source: test, certainty: C}]}", "lifeline"),
        ("add: {helplines: [{id: local, name: Local}]}", "fact local"),
        ("add: {helplines: [nonsense]}", "str"),
        ("practice: {name: X}", r"practice\.name"),
        ("practice: {name: Wattle Street, fees: {standard: -1}}", "fees"),
        ("changes: [", "no YAML"),
        ("- 1", "dict"),
        ("changes: [{rule: RF01, to: ROUTINE, sign_off: {date: 2026-02-30}}]", "no YAML"),
    ],
)
def test_faulty_files_name_the_fault(write, text: str, found: str) -> None:
    with pytest.raises(KnowledgeError, match=found):
        load_protocol(write(text))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KnowledgeError, match="UTF-8"):
        load_protocol(tmp_path / "p.yaml")


def test_added_facts_are_found_beside_the_built_in_ones(write) -> None:
    text = (
        "add: {helplines: [{id: local.nurse, name: District nurse, number: 02 5550 1234, use: dressings, source: practice, certainty: A}]}"
    )
    protocol = load_protocol(write(text))
    assert [fact.id for fact in show("local.nurse", protocol)] == ["local.nurse"]
    with pytest.raises(KnowledgeError):
        show("local.nurse")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    st.text(max_size=200) | st.sampled_from(["changes: ", "add: ", "practice: "]).flatmap(lambda key: st.text(max_size=80).map(key.__add__))
)
def test_any_text_is_a_protocol_or_a_clear_refusal(write, text: str) -> None:
    try:
        protocol = load_protocol(write(text))
    except KnowledgeError:
        return
    assert protocol.lowered == ()
