"""The Medicare and PBS checks: dated cases, and what has to hold for any facts."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from bench.mutants import Case, cases, invented_tables
from hypothesis import given
from hypothesis import strategies as st

from bedside.errors import KnowledgeError
from bedside.knowledge import medicare
from bedside.safety.medicare import CHECKS, Tables, run_check
from bedside.safety.medicare.answers import add_months

DAYS = st.dates(date(2019, 1, 1), date(2031, 12, 31))
FUTURE_DAYS = st.dates(date(2025, 11, 1), date(2029, 12, 31))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return invented_tables(tmp_path_factory.mktemp("tables"))


@pytest.mark.parametrize("check", CHECKS)
def test_dated_cases(check: str, tables: Tables) -> None:
    wrong = [case for case in cases() if case.check == check and not case.holds(tables)]
    assert wrong == []


def test_every_check_has_25_cases_and_more() -> None:
    book = Counter(case.check for case in cases())
    assert set(book) == set(CHECKS)
    assert min(book.values()) >= 25


def test_answers_name_facts_that_exist() -> None:
    known = {rule.id for family in medicare.rules().values() for rule in family}
    known |= {fact.id for fact in (*medicare.items().values(), *medicare.fees(), *medicare.assessments())}
    for case in (case for case in cases() if "rule" in case.expected and not case.tables):
        assert case.expected["rule"] in known


def test_facts_of_every_check_are_described_for_users() -> None:
    for name, check in CHECKS.items():
        schema = json.loads(json.dumps(check.facts.model_json_schema()))
        assert "date" in schema["properties"], name


def test_unknown_check_is_named_with_the_known_ones() -> None:
    with pytest.raises(KnowledgeError, match=r"no check 'copays'.*telehealth_ok, plan_due"):
        run_check("copays", {})


def test_unknown_fact_is_named_with_the_known_ones() -> None:
    with pytest.raises(KnowledgeError, match=r"copay: unknown fact 'card'\. It takes date, concession, ctg, safety_net\."):
        run_check("copay", {"card": True})


def test_facts_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(KnowledgeError, match="are list, not a mapping"):
        run_check("copay", [1])  # type: ignore[arg-type]


def test_a_fee_list_that_lacks_the_item_is_not_guessed() -> None:
    facts = {"date": "2026-03-01", "type": "standard", "practice": {"standard": {"fee": 89}}}
    assert run_check("fee_quote", facts).missing == ("item",)


def test_no_answer_promises_or_reassures(tables: Tables) -> None:
    for case in (case for case in cases() if "error" not in case.expected):
        said = run_check(case.check, case.facts, tables if case.tables else None).because.lower()
        assert not any(word in said for word in ("you will", "guarantee", "don't worry", "you are entitled", "medicare will")), said


@given(st.sampled_from(cases()), st.data())
def test_leaving_facts_out_never_turns_an_answer_round(case: Case, data: st.DataObject) -> None:
    # Exemptions, and what only some questions ask, count as not so until somebody says them.
    optional = {"exemptions", "exemption", "age", "age_months", "purpose", "stated_period", "residential_care", "admitted", "new_condition"}
    optional |= {"used", "mode", "patient"}
    leave = data.draw(st.sets(st.sampled_from(sorted(case.facts)))) if case.facts else set()
    if "error" in case.expected or leave & optional or case.tables:
        return
    left = {name: value for name, value in case.facts.items() if name not in leave}
    found = run_check(case.check, left)
    undated = case.check in ("level_from_minutes", "bb_incentive") and "date" in leave
    assert undated or found.answer in ("unknown", case.expected["answer"])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["2026-03-01", "phone", "S8", "gp", "23"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(CHECKS)), st.data())
def test_any_facts_give_an_answer_or_a_clear_error(name: str, data: st.DataObject) -> None:
    names = st.sampled_from(sorted(CHECKS[name].facts.model_fields)) | st.text(max_size=8)
    facts: dict[str, Any] = data.draw(st.dictionaries(names, JSON, max_size=6))
    try:
        found = run_check(name, facts)
    except KnowledgeError as error:
        assert name in str(error) or "health assessment" in str(error)
        assert len(str(error)) < 2000 + 10 * len(str(facts))
    else:
        assert found.answer in ("yes", "no", "unknown")
        assert found.rule and found.source


@given(DAYS, DAYS, st.sampled_from(["gp", "specialist"]), st.none() | st.integers(1, 120))
def test_an_expired_referral_never_becomes_valid_again(first: date, day: date, kind: str, stated: int | None) -> None:
    def valid(on: date) -> str:
        return run_check("referral_valid", {"kind": kind, "first_attendance": first, "stated_period": stated, "date": on}).answer

    if first <= day and valid(day) == "no":
        assert valid(day + timedelta(1)) in ("no", "unknown")
        assert valid(day + timedelta(400)) in ("no", "unknown")


@given(DAYS, DAYS, st.sampled_from(["S4", "S8"]))
def test_a_prescription_runs_out_once(written: date, day: date, schedule: str) -> None:
    def valid(on: date) -> str:
        return run_check("script_valid", {"schedule": schedule, "written": written, "date": on, "state": "VIC"}).answer

    if written <= day and valid(day) == "no":
        assert valid(day + timedelta(1)) in ("no", "unknown")


@given(FUTURE_DAYS, st.integers(0, 800))
def test_a_later_visit_never_loses_telehealth(day: date, ago: int) -> None:
    def allowed(days: int) -> str:
        return run_check("telehealth_ok", {"mode": "video", "level": "B", "date": day, "last_face_to_face": day - timedelta(days)}).answer

    if allowed(ago) == "yes":
        assert allowed(max(0, ago - 1)) == "yes"
    assert allowed(365) == "yes"
    assert allowed(367) == "no"


@given(st.dates(date(2025, 7, 1), date(2029, 12, 31)), st.dates(date(2025, 7, 1), date(2029, 12, 31)))
def test_a_plan_that_may_not_be_reviewed_says_from_when(last: date, day: date) -> None:
    if last > day:
        return
    found = run_check("plan_due", {"date": day, "last965": last, "last967": None})
    if found.answer == "no":
        due = date.fromisoformat(str(found.value))
        assert day < due <= day + timedelta(92)
        assert due > date(2029, 12, 31) or run_check("plan_due", {"date": due, "last965": last, "last967": None}).answer == "yes"


@given(st.decimals(0, 1440, places=2), st.decimals(0, 1440, places=2))
def test_more_minutes_are_never_a_lower_level(fewer: Any, more: Any) -> None:
    low, high = sorted((fewer, more))
    assert str(run_check("level_from_minutes", {"m": low}).value) <= str(run_check("level_from_minutes", {"m": high}).value)


@given(st.decimals(0, 1000, places=2), st.sampled_from([3, 23, 36, 44, 123, 965]), st.dates(date(2025, 7, 1), date(2027, 6, 30)))
def test_fee_less_benefit_is_the_gap_to_the_cent(fee: Any, item: int, day: date) -> None:
    quote = run_check("fee_quote", {"date": day, "type": "t", "practice": {"t": {"fee": fee, "item": item}}}).value
    assert isinstance(quote, dict)
    cents = {name: round(float(amount) * 100) for name, amount in quote.items()}
    assert cents["gap"] == cents["fee"] - cents["benefit"] >= 0


@given(st.dates(date(1984, 2, 1), date(2029, 12, 31)), st.integers(-240, 240))
def test_months_end_on_the_same_day_or_the_last(day: date, months: int) -> None:
    end = add_months(day, months)
    assert (end.year * 12 + end.month) - (day.year * 12 + day.month) == months
    assert end.day == day.day or (end.day < day.day and (end + timedelta(1)).day == 1)


@pytest.mark.parametrize("day", ["1066-10-14", "1984-01-31", "2030-01-01", "9999-12-31"])
@pytest.mark.parametrize("check", [name for name in CHECKS if name not in ("after_hours_class", "monitored", "fee_quote")])
def test_days_outside_all_rules_are_unknown(check: str, day: str) -> None:
    complete = next(case.facts for case in cases() if case.check == check and case.expected.get("answer") == "yes" and not case.tables)
    past = CHECKS[check].facts.past
    facts = {name: None if name in past else value for name, value in complete.items() if name != "date"}
    if check == "script_valid":
        facts["written"] = day
    assert run_check(check, {**facts, "date": day}).answer == "unknown"


def test_tables_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match=r"no table .*mbs\.sqlite.*Import the MBS schedule first"):
        run_check("item_active", {"item": 104, "date": "2026-03-01"}, Tables(mbs=tmp_path / "mbs.sqlite"))
    with pytest.raises(KnowledgeError, match="does not say its month"):
        run_check("sixty_day", {"item": "metformin", "date": "2026-03-01"}, Tables(pbs=tmp_path / "items.csv"))
    with pytest.raises(KnowledgeError, match="cannot be read"):
        run_check("sixty_day", {"item": "metformin", "date": "2026-03-01"}, Tables(pbs=tmp_path / "2026-03-items.csv"))


def test_a_pbs_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "2026-03-01-items.csv"
    table.write_text("pbs_code,price\n8213G,1\n", encoding="utf-8")
    with pytest.raises(KnowledgeError, match="no column drug_name, policy_applied_imdq60_flag"):
        run_check("sixty_day", {"item": "metformin", "date": "2026-03-01"}, Tables(pbs=table))


@pytest.mark.parametrize(("check", "name"), [("monitored", "medicine"), ("sixty_day", "item"), ("ha_ok", "type"), ("item_active", "item")])
def test_enormous_facts_are_refused_with_a_short_message(check: str, name: str) -> None:
    with pytest.raises(KnowledgeError) as caught:
        run_check(check, {"date": "2026-03-01", name: "x" * 1_000_000})
    assert len(str(caught.value)) < 500
