"""The practice file: every fault with its line, hours, holidays, fees and what may be said."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from conftest_bookings import EXAMPLE
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.phone.practice import Practice, PracticeError, read_practice
from bedside.safety.approved import say
from bedside.safety.medicare import run_check

TEXT = EXAMPLE.read_text(encoding="utf-8")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "practice.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def faults_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(PracticeError) as caught:
        read_practice(written(tmp_path, text))
    return str(caught.value)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("lead_minutes: 15", "lead_minuts: 15", "unknown key; did you mean 'lead_minutes'?"),
        ("gender: male", "gender: m", "Input should be 'female', 'male' or 'other' (found 'm')"),
        ("thu: 08:00-20:00", "thu: 20:00-08:00", "hours end after they begin"),
        ("thu: 08:00-20:00", "thu: from eight", "write hours like 08:30-12:30"),
        ('overflow: "02 5550 1235"', 'overflow: "000"', "the line never dials an emergency number"),
        ('overflow: "02 5550 1235"', "overflow: 0255501235", "put the number into quotes"),
        ('overflow: "02 5550 1235"', 'overflow: "5550 1235"', "no Australian telephone number with its area code"),
        ("timezone: Australia/Sydney", "timezone: Australia/Brisbane", "'Australia/Brisbane' is not of NSW; use Australia/Sydney"),
        ("id: walker", "id: okafor", "'okafor' stands twice"),
        ("provider_number: 2426621B", "provider_number: 2426621A", "fails the check of provider numbers (found '2426621A')"),
        ("minutes: 45, intents: [care_plan", "minutes: 40, intents: [care_plan", "40 is no multiple of slot_minutes, which is 15"),
        ("intents: [care_plan", "intents: [care_plann", "there is no intent 'care_plann'; did you mean care_plan?"),
        ("{type: telephone, fee", "{type: standard, fee", "two fees of 'standard' hold on 2026-07-01"),
        ("policy: some, groups: [children_under_16, concession]", "policy: some", "policy `some` names its `groups`"),
        ("greeting: greeting", "greeting: hello", "there is no approved text 'hello'"),
        ("welcome: Flu vaccines are in.", "welcome: Ring 13 11 14 instead.", "opening.welcome"),
        ("audio_days: 30", "audio_days: 400", "less than or equal to 30"),
        ("first: 2026-12-14, last: 2026-12-18", "first: 2026-12-18, last: 2026-12-14", "lies before the first"),
        ("slot_minutes: 15", "slot_minutes: 15\nslot_minutes: 15", "slot_minutes stands twice"),
        ("roles: [nurse]", "roles: [allied]", "nobody here is allied"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    text = TEXT.replace(right, wrong, 1)
    assert text != TEXT
    line = next(n for n, (one, other) in enumerate(zip(text.splitlines(), TEXT.splitlines(), strict=False), 1) if one != other)
    message = faults_of(tmp_path, text)
    assert said in message
    assert any(f"line {n}:" in message for n in range(line - 1, line + 2)), message


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    text = TEXT.replace("gender: male", "gender: m", 1).replace("audio_days: 30", "audio_days: -1").replace("state: NSW", "state: NZ")
    assert "has 3 faults" in faults_of(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds NoneType"),
        ("- a\n- list", "holds list"),
        ("name: [", "is no YAML"),
        ("name: 2026-02-30", "is no YAML"),
        ("a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\n" * 1, "faults"),
        ("\n".join([f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9 if n else ['x'] * 9)}]" for n in range(12)]), "more than 50,000 keys"),
        ("a: &a [*a]", "is no YAML"),
        ("x" * (1 << 20 | 1), "larger than a practice file can be"),
    ],
)
def test_hostile_files_are_clear_errors(tmp_path: Path, text: str, said: str) -> None:
    assert said in faults_of(tmp_path, text)


def test_a_missing_file_or_protocol_is_named(tmp_path: Path) -> None:
    with pytest.raises(PracticeError, match=r"there is no practice file .*nothing\.yaml"):
        read_practice(tmp_path / "nothing.yaml")
    assert "cannot be read" in faults_of(tmp_path, TEXT + "protocol: own.yaml\n")
    (tmp_path / "own.yaml").write_text("changes: [{rule: RF51, to: NOWHERE}]", encoding="utf-8")
    assert "the protocol of" in faults_of(tmp_path, TEXT + "protocol: own.yaml\n")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_a_practice_or_a_clear_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    with pytest.raises(PracticeError):
        read_practice(path)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-26T19:30", True),  # late Thursday
        ("2026-11-27T17:45", False),
        ("2026-11-28T11:59", True),
        ("2026-11-28T12:00", False),
        ("2026-11-29T10:00", False),
        ("2027-01-26T10:00", False),  # Australia Day, a Tuesday
        ("2026-12-29T10:00", False),  # closed over Christmas
    ],
)
def test_it_is_open_by_the_clock_on_its_wall(practice: Practice, moment: str, is_open: bool) -> None:
    local = dt.datetime.fromisoformat(moment).replace(tzinfo=practice.zone)
    assert practice.is_open(local) is is_open
    assert practice.is_open(local.astimezone(dt.UTC)) is is_open


def test_the_next_opening_skips_holidays_and_closures(practice: Practice) -> None:
    christmas_eve = dt.datetime(2026, 12, 24, 9, 0, tzinfo=practice.zone)
    assert practice.next_opening(christmas_eve) == dt.datetime(2027, 1, 4, 8, 0, tzinfo=practice.zone)
    assert practice.holiday(dt.date(2026, 6, 8)) == "King's Birthday"


def test_a_local_holiday_closes_the_practice(tmp_path: Path) -> None:
    text = TEXT.replace("extra_holidays: []", "extra_holidays: [{date: 2026-11-25, name: Show Day}]")
    own = read_practice(written(tmp_path, text))
    assert own.holiday(dt.date(2026, 11, 25)) == "Show Day" and own.open_spans(dt.date(2026, 11, 25)) == ()


def test_the_type_follows_the_reason_then_the_intent(practice: Practice) -> None:
    assert practice.type_for("appt_new", "a few things to talk about").id == "long"
    assert practice.type_for("mh_plan").id == "plan"
    assert practice.type_for("vaccination", "me flu shot").id == "nurse"
    assert practice.type_for("appt_new", "a molehill").id == "standard"


def test_fees_are_quoted_from_the_dated_tables_and_texts_name_the_practice(practice: Practice) -> None:
    day = dt.date(2026, 11, 26)
    quote = run_check("fee_quote", {"practice": practice.prices(day), "type": "standard", "concession": True, "date": day})
    assert isinstance(quote.value, dict) and quote.value["fee"] == "75.00" and quote.rule.startswith("FEE-B")
    assert practice.prices(dt.date(2026, 6, 30)) == {}
    protocol = practice.protocol_on(day)
    assert "Wattle Street Family Practice" in say("greeting", day=day, protocol=protocol)
    assert "$92.00" in say("fee.quote", day=day, protocol=protocol, fee="standard")
    assert practice.protocol_on(day) is protocol, "compiled rules are kept by the object"
