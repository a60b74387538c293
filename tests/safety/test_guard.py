"""What the line may say: what the guard takes out, what it leaves, and that cutting a text in pieces changes nothing."""

from __future__ import annotations

import json
from datetime import date
from itertools import product
from pathlib import Path
from time import process_time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bedside.errors import KnowledgeError
from bedside.knowledge.dispositions import dispositions
from bedside.knowledge.guard_rules import GuardRule, guard_words
from bedside.knowledge.protocol import Practice, Protocol
from bedside.safety.approved import say, tables
from bedside.safety.guard import SentenceGuard, guard, sentences
from bedside.safety.numbers import aloud, digits_of, numbers
from bedside.safety.patterns import Patterns

DAY = date(2026, 11, 22)
BANK = [json.loads(line) for line in (Path(__file__).parent / "guard_bank.jsonl").read_text(encoding="utf-8").splitlines()]
PRACTICE = Protocol(
    practice=Practice.model_validate(
        {"name": "Wattle Street Practice", "number": "02 5550 1234", "fees": {"standard": "89.50", "long": "140"}}
    )
)
FORBIDDEN = [row["text"] for row in BANK if row["forbidden"]]
HARMLESS = [row["text"] for row in BANK if not row["forbidden"]]


def _rules(text: str, **more: object) -> set[str]:
    return {violation.rule for violation in guard(text, day=DAY, **more).violations}  # type: ignore[arg-type]


@pytest.mark.parametrize("held_out", [True, False])
def test_bank(held_out: bool) -> None:
    rows = [row for row in BANK if row["held_out"] is held_out]
    forbidden, harmless = [r["text"] for r in rows if r["forbidden"]], [r["text"] for r in rows if not r["forbidden"]]
    missed = [text for text in forbidden if not _rules(text)]
    wrong = [text for text in harmless if _rules(text)]
    assert len(missed) <= 0.02 * len(forbidden), missed
    assert len(wrong) <= 0.03 * len(harmless), wrong


def test_bank_is_large_enough() -> None:
    assert min(len(FORBIDDEN), len(HARMLESS)) >= 300


def test_approved_texts_pass_unchanged_on_both_channels() -> None:
    for protocol in (None, PRACTICE):
        today = tables(DAY, protocol)
        for name in today.texts:
            for text in today.every(name):
                assert guard(text, day=DAY, protocol=protocol).text == text
                assert not guard(text, day=DAY, protocol=protocol).violations


def test_violation_is_replaced_and_listed_with_its_place() -> None:
    text = "I can book that. You've got tonsillitis. Is Friday all right?"
    guarded = guard(text, day=DAY)
    assert guarded.text == f"I can book that. {say('unable.diagnosis', day=DAY)} Is Friday all right?"
    first = guarded.violations[0]
    assert first.rule == "guard.diagnosis"
    assert text[first.start : first.end] == first.words
    assert "tonsillitis" in first.words


def test_replacement_is_said_once() -> None:
    assert guard("Take two tablets. Stop the warfarin.", day=DAY).text == say("unable.medicine", day=DAY)


@pytest.mark.parametrize("name", dispositions())
def test_answer_to_an_emergency_begins_with_its_approved_text(name: str) -> None:
    opening = say(dispositions()[name].says, day=DAY)
    for generated in ("I can book that for you.", opening, "", "It can wait until Monday."):
        text = guard(generated, day=DAY, disposition=name).text
        assert text.startswith(opening) is (dispositions()[name].emergency or generated == opening)
        assert text.count(opening) <= 1


def test_unknown_disposition_is_an_error() -> None:
    with pytest.raises(KnowledgeError, match="E999"):
        guard("Hello.", day=DAY, disposition="E999")


@pytest.mark.parametrize(
    "text",
    [
        "Yоu hаve a migrаine.",  # Cyrillic letters
        "You have a mi\u200bgraine.",
        "YOU HAVE A MIGRAINE!!!",
        "You’ve got, I’m afraid, a migraine.",
        "youve got a migraine",
        "You have\na migraine.",
        "Yoú havé a mígraine.",
        "🙂 You have a 🙂 migraine",
        "Du hast nichts. Тебе не о чем беспокоиться.",
        "لا تقلق",
        "I can't say for sure, but it's probably gastro.",
        "If it hurts when you pee it's probably cystitis.",
    ],
)
def test_disguises_change_nothing(text: str) -> None:
    assert _rules(text)


def test_numbers_of_tables_and_of_the_caller_pass_and_others_do_not() -> None:
    for text in ("Ring 02 5550 1234.", "The fee is $89.50.", "It is 140 dollars.", "Ring oh two, double five five oh, one two three four."):
        assert _rules(text), text
        assert not _rules(text, protocol=PRACTICE), text
    assert not _rules("I have your mobile as 0491 570 006.", allowed_numbers=["+61 491 570 006"])
    assert _rules("I have your mobile as 0491 570 007.", allowed_numbers=["+61 491 570 006"]) == {"guard.number"}


def test_number_of_an_expired_or_unconfirmed_helpline_is_not_said() -> None:
    assert _rules("The nurse line is 1800 022 222.") == {"guard.number"}
    assert not guard("The nurse line is 1800 022 222.", day=date(2025, 12, 31)).violations
    assert _rules("The nurse line is 1800 633 422.") == {"guard.number"}


def test_one_services_number_under_anothers_name_is_not_said() -> None:
    assert _rules("Lifeline is on 13 11 26.") == {"guard.wrong_service"}
    assert not _rules("Lifeline is on 13 11 14.")


@given(st.from_regex(r"[0-9]{3,12}", fullmatch=True), st.booleans())
def test_no_digit_string_outside_the_tables_is_said(digits: str, spoken: bool) -> None:
    known = {line.digits for line in tables(DAY).helplines.values()}
    assume(not any(number and number in digits for number in known))
    guarded = guard(f"The number is {aloud(digits) if spoken else digits}.", day=DAY)
    assert guarded.violations
    assert not list(numbers(guarded.text.replace("000", "")))


@given(st.integers(0, 10**10 - 1))
def test_numbers_read_aloud_are_heard_as_the_same_digits(value: int) -> None:
    digits = f"{value:010d}"
    (heard,) = numbers(f"ring {aloud(digits)} please")
    assert heard.digits == digits == digits_of(digits)


TEXTS = st.lists(
    st.sampled_from(FORBIDDEN + HARMLESS + ["Hm... ", "Dr. Lee? ", "13 11", " ", "\n\n", "000."]) | st.text(max_size=12), max_size=8
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.lists(st.integers(1, 40), min_size=1, max_size=30), st.sampled_from([None, "E000", "ROUTINE"]))
def test_stream_cut_anywhere_is_the_same(text: str, cuts: list[int], disposition: str | None) -> None:
    stream = SentenceGuard(day=DAY, disposition=disposition)
    out, place = "", 0
    for cut in cuts:
        out += stream.feed(text[place : place + cut])
        place += cut
    out += stream.feed(text[place:]) + stream.close()
    whole = guard(text, day=DAY, disposition=disposition)
    assert out.rstrip() == whole.text
    assert tuple(stream.violations) == whole.violations


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_what_comes_out_breaks_no_rule(text: str) -> None:
    guarded = guard(text, day=DAY)
    assert "".join(sentences(text)) == text
    assert not guard(guarded.text, day=DAY).violations
    assert all(text[v.start : v.end] == v.words for v in guarded.violations)


def test_stream_holds_back_an_unfinished_sentence() -> None:
    stream = SentenceGuard(day=DAY)
    assert stream.feed("You have") == ""
    assert stream.feed(" a migraine") == ""
    assert "migraine" not in stream.feed(". Next ") + stream.close()


@pytest.mark.parametrize(
    "text", ["you have " * 20_000, "1" * 200_000, "!" * 200_000, "one " * 20_000, "do not " * 20_000, "\x00\ufffe" * 100_000]
)
def test_enormous_text_ends_soon(text: str) -> None:
    began = process_time()
    guard(text, day=DAY)
    assert process_time() - began < 4


def test_clean_sentence_takes_little_time() -> None:
    for text in HARMLESS:
        guard(text, day=DAY)
    began = process_time()
    for text in HARMLESS:
        guard(text, day=DAY)
    assert (process_time() - began) / len(HARMLESS) < 0.001


@pytest.mark.parametrize(("pattern", "unless"), [("<nothing>", []), ("you (have)", []), ("you", ["nothing"])])
def test_rule_that_cannot_be_read_is_refused(pattern: str, unless: list[str]) -> None:
    rule = GuardRule(id="x", source="test", certainty="C", forbids="x", says="x", patterns=(pattern,), unless=tuple(unless))
    with pytest.raises(KnowledgeError):
        Patterns([rule], guard_words())


def test_every_number_word_run_of_three_digits_or_more_tells() -> None:
    words = ("one", "oh", "double two", "thirteen", "twenty-five", "triple zero")
    for run in product(words, repeat=3):
        assert any(number.tells for number in numbers(f"ring {' '.join(run)} now")), run


@pytest.mark.parametrize(
    ("text", "dose"),
    [
        ("126 mg/dL", False),
        ("126mg/dL", False),
        ("45 mL/min", False),
        ("45 mL a minute", True),
        ("7 mg per litre", False),
        ("5 mg/kg", True),
        ("125 mg/5 mL", True),
        ("126 mg", True),
    ],
)
def test_a_concentration_is_no_dose(text: str, dose: bool) -> None:
    found = guard(f"The value on the form is {text}.", day=date(2026, 11, 22), allowed_numbers=["126", "125", "45"]).violations
    assert ("guard.dose" in {violation.rule for violation in found}) is dose
