"""Numbers by voice and by key: what was heard is read back, what was keyed in is not, and nobody is left without a way on."""

from __future__ import annotations

import pytest
from clinic_by_phone import Clinic, Ringing
from hypothesis import given
from hypothesis import strategies as st

from bedside.phone.call.events import Heard, Listen, Pressed, Silence, Transfer
from bedside.phone.call.line import State
from bedside.phone.ending import finished
from bedside.phone.words.digits import grouped, medicare_number, phone_number, whole_number
from bedside.safety.numbers import aloud

NAME = "mary brown third of march 1962"
NUMBER = "0491 570 006"


def asked(clinic: Clinic) -> Ringing:
    """A call that has asked for the mobile number."""
    call = Ringing(clinic)("book me in for friday", "the first one", NAME)
    assert call.said() == ["identity.mobile"]
    return call


def by_voice(text: str) -> Heard:
    return Heard(text, confidence=0.93)


def keys(text: str) -> list[Pressed]:
    return [Pressed(key) for key in text]


def test_a_number_that_was_heard_is_read_back_before_it_counts(clinic: Clinic) -> None:
    call = asked(clinic)(by_voice(NUMBER))
    assert call.said() == ["number.read_back"] and "zero four nine one, five seven zero, zero zero six" in call.last[0].text  # type: ignore[union-attr]
    assert call(by_voice("yes that's right")).said() == ["book.confirm"]


def test_a_number_that_was_typed_is_not(clinic: Clinic) -> None:
    assert asked(clinic)(NUMBER).said() == ["book.confirm"]


def test_a_number_that_was_misheard_is_asked_for_again_and_then_by_key(clinic: Clinic) -> None:
    call = asked(clinic)(by_voice("0491 570 005"), by_voice("no"))
    assert call.said() == ["number.again"]
    call(by_voice("0491 57 06"))
    assert call.said() == ["number.key"]
    assert call(*keys("0491570006")).said() == ["book.confirm"]


def test_a_caller_may_ask_for_the_keys(clinic: Clinic) -> None:
    assert asked(clinic)("can I type it in").said() == ["number.key"]


def test_a_caller_without_a_mobile_is_asked_for_something_else(clinic: Clinic) -> None:
    call = asked(clinic)("i haven't got one of those")
    assert call.said() == ["identity.street"]
    assert call(by_voice("12 banksia lane")).said() == ["book.confirm"]


def test_neither_speech_nor_keys_ends_with_a_person(clinic: Clinic) -> None:
    call = asked(clinic)("um", "dunno", "nah")
    assert call.of(Transfer) and call.state is State.HANDING_OVER


def test_keys_may_be_pressed_without_being_asked_for_and_zero_is_a_digit_there(clinic: Clinic) -> None:
    call = asked(clinic)(*keys("049"))
    assert call.state is State.ASKING and not call.of(Transfer)
    assert call(*keys("1570006")).said() == ["book.confirm"]


def test_the_hash_key_or_a_pause_ends_a_number(clinic: Clinic) -> None:
    assert asked(clinic)(*keys("2999#")).said() == ["book.confirm"]  # the postcode is an identifier too
    assert asked(clinic)(*keys("2999"), Silence(3)).said() == ["book.confirm"]


def test_a_lone_zero_is_a_person_there_too(clinic: Clinic) -> None:
    call = asked(clinic)(Pressed("0"))
    assert call.state is State.ASKING and call.of(Listen) == [Listen("keys")]
    assert call(Silence(3)).of(Transfer)
    assert asked(clinic)(Pressed("0"), Pressed("#")).of(Transfer)


def test_star_begins_a_number_anew(clinic: Clinic) -> None:
    call = asked(clinic)(*keys("0499*"))
    assert call.said() == ["identity.mobile"]
    assert call(*keys("0491570006")).said() == ["book.confirm"]


def test_words_while_keys_are_pressed_do_not_answer(clinic: Clinic) -> None:
    call = asked(clinic)(*keys("0491"), by_voice("five seven"), *keys("570006"))
    assert call.said() == ["book.confirm"]


def test_an_emergency_is_heard_while_keys_are_pressed(clinic: Clinic) -> None:
    assert asked(clinic)(*keys("0491"), by_voice("oh my god he's stopped breathing")).said()[0] == "say.e000"


def test_a_date_of_birth_said_in_words_is_no_emergency(clinic: Clinic) -> None:
    call = Ringing(clinic)("book me in for friday", "the first one", "mary brown twentieth of november nineteen fifty one")
    assert call.said() == ["identity.mobile"]


def test_keys_are_typed_in_a_text_call(clinic: Clinic) -> None:
    assert "book.confirm" in clinic.ring("book me in for friday", "the first", NAME, "/0491570006#").prompts


@given(st.from_regex(r"0[23478][0-9]{8}", fullmatch=True))
def test_what_is_read_back_is_heard_as_the_same_number(number: str) -> None:
    assert phone_number(aloud(grouped(number))) == number
    assert phone_number(grouped(number)) == number and whole_number(number)


@given(st.text(alphabet="0123456789 -.,forwontoateoh", max_size=60))
def test_any_text_gives_a_dialable_number_or_none(text: str) -> None:
    found = phone_number(text)
    assert found is None or (found.isdigit() and 6 <= len(found) <= 10)


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("491 570 156", "0491570156"),
        ("0491 then 570, won 56", "0491570156"),
        ("My number is 0491. The rest is 570 156.", "0491570156"),
        ("04-9-1-5-7-0-1-5-6", "0491570156"),
        ("oh for nine one five seven oh one five six", "0491570156"),
        ("0491 57", None),
        ("I want to see a doctor for my back", None),
    ],
)
def test_numbers_as_a_recogniser_writes_them(said: str, number: str | None) -> None:
    assert phone_number(said) == number


def test_a_medicare_number_is_grouped_as_on_the_card() -> None:
    card = medicare_number("2950 34179 1")
    assert card is not None and grouped(card.number) == "2950 34179 1"


@pytest.mark.parametrize(
    ("text", "kind", "over"),
    [
        ("zero four nine one five seven", "number", False),
        ("0491 570 156", "number", True),
        ("I need to see the", "open", False),
        ("yes please", "yes_no", True),
        ("the first one", "choice", True),
        ("and my", "number", False),
        ("Mary Brown, 3rd of March nineteen sixty two.", "birth", True),
        ("Mary Brown, 3rd of March", "birth", False),
        ("could I book an appointment please", "open", True),
    ],
)
def test_a_turn_is_over_when_its_words_say_so(text: str, kind: str, over: bool) -> None:
    assert (finished(text, kind) > 0.5) is over  # type: ignore[arg-type]
    assert finished("I have a sore knee", "open") == finished("", "open") == 0.5
