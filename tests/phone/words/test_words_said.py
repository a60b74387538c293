"""Spoken forms: the ways in which Australians say numbers, days, times, names and answers."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import example, given, settings

from bedside.phone.words.answers import choice, nothing_more, yes_no
from bedside.phone.words.births import birth_date
from bedside.phone.words.dates import aloud_day, days, spans
from bedside.phone.words.digits import medicare_number, phone_number
from bedside.phone.words.letters import person_name, spelled
from bedside.phone.words.people import gender, named
from bedside.phone.words.times import aloud_time, clocks, time_of_day
from bedside.safety.numbers import aloud

TODAY = dt.date(2026, 11, 22)
SAID = yaml.load(Path(__file__).with_name("said.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)
OFFERS = [(dt.datetime(2026, 11, 26, 14, 15), "Doctor Amelia Nguyen"), (dt.datetime(2026, 11, 26, 16, 30), "Doctor Ravi Patel")]
UNITS = ("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth")
TEENS = ("thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth")
ORDINALS = (*UNITS, *TEENS, "twentieth", *(f"twenty {word}" for word in UNITS[1:10]), "thirtieth", "thirty first")
DIGITS = ("oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _rows(key: str) -> list[Any]:
    rows = SAID[key]
    return [pytest.param(said, means, id=said) for said, means in rows.items()] if isinstance(rows, dict) else rows


MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
FORMS = (
    "{day} {month} {year}.",
    "{day}{th} of {month}, {year}",
    "the {day}{th} of {month} {year}",
    "{month} {day}, {year}",
    "{month} the {day}{th} {year}",
    "{day} {short} {year}",
    "{day}/{number}/{year}",
    "{day:02d}.{number:02d}.{year}",
)
NAMES = ("Emma Wilson, ", "It's Joan Clark. ", "May Augustin ", "Harold Jan Greene, born ", "she's ", "")


@given(st.dates(dt.date(1915, 1, 1), TODAY), st.sampled_from(FORMS), st.sampled_from(NAMES))
@example(dt.date(1995, 2, 28), FORMS[0], NAMES[0])
def test_dates_of_birth_as_speech_recognition_writes_them(born: dt.date, form: str, name: str) -> None:
    th = "th" if born.day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(born.day % 10, "th")
    month = MONTHS[born.month - 1]
    written = form.format(day=born.day, th=th, month=month, short=month[:3], number=born.month, year=born.year)
    assert birth_date(name + written, TODAY) == born


@given(st.integers(1, 31), st.text("abcdefghijklmnopqrstuvwxyz", min_size=4, max_size=9), st.integers(1915, 2026))
def test_a_month_that_was_not_understood_makes_no_other_date(day: int, month: str, year: int) -> None:
    born = birth_date(f"Emma Wilson, {day} q{month}q {year}.", TODAY)
    assert born is None


@pytest.mark.parametrize(("said", "means"), _rows("days"))
def test_days(said: str, means: list[str]) -> None:
    assert [day.isoformat() for day in days(said, TODAY)] == means


@pytest.mark.parametrize(("said", "means"), _rows("spans"))
def test_spans_of_days(said: str, means: list[str]) -> None:
    found = days(said, dt.date(2026, 11, 23) if "week" in said else TODAY)
    assert len(spans(found)) == 1 and [found[0].isoformat(), found[-1].isoformat()] == means


@pytest.mark.parametrize(("said", "means"), _rows("times"))
def test_times(said: str, means: str) -> None:
    assert clocks(said) == [dt.time.fromisoformat(means)]


def test_bounds_and_parts_of_the_day() -> None:
    between = time_of_day("between two and four")
    assert between and (between.after, between.before, between.at) == (dt.time(14), dt.time(16), None)
    after, before, morning = time_of_day("any time after 3:30"), time_of_day("before ten"), time_of_day("first thing")
    assert after and after.after == dt.time(15, 30) and before and before.before == dt.time(10)
    assert morning and morning.fits(dt.time(9)) and not morning.fits(dt.time(13))
    assert time_of_day("thursday in 2 weeks for 2 people") is None


@pytest.mark.parametrize(("said", "means"), _rows("births"))
def test_dates_of_birth(said: str, means: str) -> None:
    found = birth_date(said, TODAY)
    assert (found.isoformat() if found else "null") == means


@pytest.mark.parametrize(("said", "means"), _rows("phones"))
def test_telephone_numbers_keep_their_leading_zero(said: str, means: str) -> None:
    assert (phone_number(said, area="02") or "null") == means


@pytest.mark.parametrize("said", _rows("yes"))
def test_yes(said: str) -> None:
    assert yes_no(said) is True


@pytest.mark.parametrize("said", _rows("no"))
def test_no(said: str) -> None:
    assert yes_no(said) is False


@pytest.mark.parametrize("said", _rows("unclear"))
def test_neither_yes_nor_no(said: str) -> None:
    assert yes_no(said) is None


def test_anything_else() -> None:
    assert [said for said in SAID["nothing_more"] if nothing_more(said) is not True] == []
    assert [said for said in SAID["more"] if nothing_more(said) is not False] == []
    assert nothing_more("yes i need a script too") is None and nothing_more("can i book as well") is None


@pytest.mark.parametrize(("said", "means"), _rows("names"))
def test_full_names(said: str, means: list[str]) -> None:
    name = person_name(said)
    assert name and [name.given, name.family] == means


@pytest.mark.parametrize(("said", "means"), _rows("spelled"))
def test_spelled_names(said: str, means: str) -> None:
    assert (spelled(said) or "null") == means


@pytest.mark.parametrize(("said", "means"), _rows("choices"))
def test_choices_among_two_offers(said: str, means: str) -> None:
    chosen = choice(said, OFFERS, TODAY)
    assert (str(chosen.one) if chosen and chosen.one is not None else "null") == means


def test_neither_offer_and_yes_to_a_single_one() -> None:
    neither, single = choice("neither thanks", OFFERS, TODAY), choice("too easy", OFFERS[:1], TODAY)
    assert neither and neither.fitting == () and single and single.one == 0


def test_a_time_that_was_not_offered_chooses_nothing() -> None:
    for said in ("thursday at three", "friday at 2:15", "thursday morning"):
        chosen = choice(said, OFFERS, TODAY)
        assert chosen and chosen.fitting == ()


def test_practitioners_are_matched_to_the_practices_own() -> None:
    names = ["Doctor Amelia Nguyen", "Doctor Ravi Patel", "Doctor Liem Nguyen"]
    assert named("with dr patell please", names) == ["Doctor Ravi Patel"]
    assert named("doctor nguyen", names) == ["Doctor Amelia Nguyen", "Doctor Liem Nguyen"]
    assert named("amelia nguyen", names) == ["Doctor Amelia Nguyen"]
    assert named("doctor smith", names) == [] and named("", names) == []
    assert gender("lady doctor if possible") == "female" and gender("a male") == "male" and gender("anyone") is None


@given(st.sampled_from(["04", "02", "03", "07", "08"]), st.text("0123456789", min_size=8, max_size=8), st.booleans())
@example("04", "91570006", True)
def test_a_telephone_number_read_out_is_heard_back(start: str, rest: str, spoken: bool) -> None:
    number = start + rest
    said = " ".join(DIGITS[int(digit)] for digit in number) if spoken else aloud(f"{number[:4]} {number[4:7]} {number[7:]}")
    assert phone_number(f"it's {said} thanks") == number


@given(st.dates(dt.date(1925, 1, 1), TODAY))
def test_a_date_of_birth_said_in_words_is_heard(day: dt.date) -> None:
    assert birth_date(f"the {ORDINALS[day.day]} of {day:%B} {day.year}", TODAY) == day
    assert birth_date(f"{ORDINALS[day.day]} of the {ORDINALS[day.month]} {day.year}", TODAY) == day
    assert birth_date(f"{day.day}/{day.month}/{day.year}", TODAY) == day


@given(st.dates(TODAY, TODAY + dt.timedelta(days=364)))
def test_a_day_that_the_line_says_is_heard_as_that_day(day: dt.date) -> None:
    assert days(aloud_day(day, TODAY), TODAY) == (day,)


@given(st.times().filter(lambda time: 8 <= time.hour < 20).map(lambda time: time.replace(second=0, microsecond=0)))
def test_a_time_that_the_line_says_is_heard_as_that_time(time: dt.time) -> None:
    assert clocks(f"at {aloud_time(time)}") == [time]


@given(st.from_regex(r"[a-z]{2,8}(['-][a-z]{2,8})?", fullmatch=True))
def test_a_spelled_name_is_heard_as_it_was_spelled(name: str) -> None:
    letters = ({"'": "apostrophe", "-": "hyphen"}.get(letter, letter.upper()) for letter in name)
    assert spelled(", ".join(letters)) == name.upper()


@given(st.text("0123456789", min_size=10, max_size=11))
def test_a_medicare_number_with_a_wrong_check_digit_is_not_taken(digits: str) -> None:
    from bedside.knowledge.identifiers import is_valid

    card = medicare_number(" ".join(DIGITS[int(digit)] for digit in digits))
    assert (card is not None) == is_valid("id.medicare", digits)
    assert card is None or card.number + (card.reference or "") == digits


_WORDS = st.sampled_from(
    [
        *" ,.'-/:0123456789",
        *[
            "oh",
            "double",
            "half",
            "past",
            "the",
            "of",
            "first",
            "at",
            "may",
            "sat",
            "week",
            "yes",
            "nah",
            "thursday",
            "march",
            "for",
            "bravo",
            "dr",
        ],
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=300), st.lists(_WORDS, max_size=60).map(" ".join)))
@example("0" * 5000)
@example("1 1 " * 2000)
@example("double " * 1000)
@example("٣٤ ½ ² ①")
@example("31/2/2026 00:00 32nd of the 13th 9999999999999999999999 weeks")
def test_no_words_break_a_reader(said: str) -> None:
    days(said, TODAY), time_of_day(said), birth_date(said, TODAY), phone_number(said), medicare_number(said)
    spelled(said), person_name(said), yes_no(said), nothing_more(said), choice(said, OFFERS, TODAY), named(said, ["Doctor Ravi Patel"])
