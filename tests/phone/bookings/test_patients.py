"""Identity by three identifiers, and what a stranger can learn from trying."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from conftest_bookings import Clock
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from bedside.phone.database import Database
from bedside.phone.patients import Claim, Patient, Patients, _same_street
from bedside.phone.practice_parts import IdentityCheck

BORN = dt.date(1962, 4, 3)
MARGARET = Patient(
    "margaret",
    "O'Sample",
    "Margaret Anne",
    BORN,
    mobile="0491 570 006",
    street="12 Banksia Street",
    postcode="2999",
    medicare="21234567011",
)
CLAIM = Claim("Margaret", "O'Sample", BORN, mobile="0491570006")


@pytest.fixture
def register(database: Database) -> Patients:
    patients = Patients(database)
    patients.add(MARGARET)
    return patients


@pytest.mark.parametrize(
    "claim",
    [
        CLAIM,
        replace(CLAIM, given="Margret", family="Osample"),
        replace(CLAIM, given="margaret-anne"),
        replace(CLAIM, given="Anne"),
        replace(CLAIM, given="O'Sample", family="Margaret"),
        replace(CLAIM, mobile="+61 491 570 006"),
        replace(CLAIM, mobile=None, medicare="2123 45670 1"),
        replace(CLAIM, mobile=None, postcode="2999"),
        replace(CLAIM, mobile=None, street="12 banksia"),
        replace(CLAIM, mobile="0491570156", postcode="2999"),
    ],
)
def test_the_name_as_heard_the_day_of_birth_and_one_more_identify(register: Patients, claim: Claim) -> None:
    assert register.identify(claim, "call").patient == MARGARET


@pytest.mark.parametrize(
    "claim",
    [
        replace(CLAIM, born=dt.date(1962, 3, 4)),
        replace(CLAIM, given="Michael"),
        replace(CLAIM, family="Example"),
        replace(CLAIM, given="", family=""),
        replace(CLAIM, mobile=None),
        replace(CLAIM, mobile="0491570156"),
        replace(CLAIM, mobile=""),
        replace(CLAIM, mobile=None, medicare="2123456711"),
        replace(CLAIM, mobile=None, street="14 Banksia Street"),
        replace(CLAIM, mobile=None, street="Banksia Street"),
    ],
)
def test_anything_less_does_not(register: Patients, claim: Claim) -> None:
    answer = register.identify(claim, "call")
    assert (answer.outcome, answer.patient, answer.third) == ("not_matched", None, None)


@pytest.mark.parametrize(("family", "heard"), [("Clark", "Clock"), ("Green", "Graene"), ("Carter", "Cahta"), ("Moore", "Moor")])
def test_a_family_name_may_be_written_as_it_sounds_in_australia(register: Patients, family: str, heard: str) -> None:
    register.add(replace(MARGARET, family=family))
    assert register.identify(replace(CLAIM, family=heard), "call").outcome == "matched"


def test_the_log_may_know_which_identifier_matched(register: Patients) -> None:
    assert register.identify(replace(CLAIM, postcode="2999"), "call").third == "mobile"


def test_a_postcode_counts_only_where_the_practice_says_so(database: Database, register: Patients) -> None:
    strict = Patients(database, IdentityCheck(third=("medicare", "mobile")))
    assert strict.identify(replace(CLAIM, mobile=None, postcode="2999"), "call").outcome == "not_matched"


def test_twins_who_share_everything_but_a_letter_go_to_a_person(register: Patients) -> None:
    register.add(replace(MARGARET, id="twin", given="Margarete"))
    assert register.identify(CLAIM, "call").outcome == "not_matched"
    register.add(replace(MARGARET, id="twin", given="Thomas"))
    assert register.identify(CLAIM, "call").patient == MARGARET


def test_a_patient_who_left_is_nobody(register: Patients) -> None:
    register.add(replace(MARGARET, active=False))
    assert register.identify(CLAIM, "call").outcome == "not_matched"


def test_a_call_that_fails_three_times_is_locked_even_with_the_right_answer(register: Patients) -> None:
    wrong = replace(CLAIM, mobile="0491570156")
    assert [register.identify(wrong, "guesser").outcome for _ in range(3)] == ["not_matched"] * 3
    assert register.identify(CLAIM, "guesser").outcome == "locked"
    assert register.identify(CLAIM, "another call").outcome == "matched"


def test_a_stranger_sees_the_same_whether_such_a_person_exists_or_not(register: Patients, database: Database) -> None:
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda _c, _cur, statement, *_: statements.append(statement))

    def seen(claim: Claim, call: str) -> tuple[object, list[str]]:
        statements.clear()
        return register.identify(claim, call), list(statements)

    exists = seen(replace(CLAIM, mobile="0491570156"), "a")
    no_such_name = seen(replace(CLAIM, given="Zebedee"), "b")
    no_such_birthday = seen(replace(CLAIM, born=dt.date(1901, 1, 1)), "c")
    assert exists == no_such_name == no_such_birthday


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_any_words_can_be_claimed_and_nobody_has_no_street(given_name: str, family: str, street: str) -> None:
    assert not _same_street(street, None)
    assert _same_street(street, street) in (True, False)


def test_a_number_that_has_failed_too_often_goes_to_a_person_for_a_day(database: Database, clock: Clock) -> None:
    patients = Patients(database, IdentityCheck(attempts=5, caller_attempts=3), clock)
    patients.add(MARGARET)
    wrong = replace(CLAIM, mobile="0491570156")
    for call in range(3):
        assert patients.identify(wrong, f"call-{call}", "0491570157").outcome == "not_matched"
    assert patients.identify(CLAIM, "call-4", "0491570157").outcome == "locked"
    assert patients.identify(CLAIM, "call-5", "0491570158").outcome == "matched", "another number is not locked"
    clock.advance(hours=25)
    assert patients.identify(CLAIM, "call-6", "0491570157").outcome == "matched"


def test_callers_who_withhold_their_number_are_counted_call_by_call(database: Database, clock: Clock) -> None:
    patients = Patients(database, IdentityCheck(caller_attempts=1), clock)
    patients.add(MARGARET)
    assert patients.identify(replace(CLAIM, mobile="0491570156"), "call-1").outcome == "not_matched"
    assert patients.identify(CLAIM, "call-2").outcome == "matched"
