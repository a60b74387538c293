"""Texts are written one way, every change is named and placed, and nothing that is right is touched."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.corpus.conversation import Conversation, Message, Provenance
from bedside.corpus.standardise import standardise, standardise_conversation
from bedside.corpus.units import conversion
from bedside.knowledge.medicines import generics, medicines
from bedside.workspace.ledger import DropLedger

FRAGMENTS = [
    "Call 911 right away", "glucose 126 mg/dL", "HbA1c 7,2%", "ibu profen", "paracet@mol", "acetaminophen", "<br>", "&lt;b&gt;", "donâ€™t", "CC:", "\n",
    "PMHx: diabetis", "24/03/2026 8:15 HR=88", "2026/03/24 08:15:00 SPO2: 93 temp 98.6", ".5 mg", "5 µg", "the ER", "PCP", "color of the TUMOR", "\u200b",
    "  ", "&amp;amp;", "101 F", "primary care physician", "amoxicil", "predniso", "(7.0 mmol/L)", "edema", "1,25 mmol/l", "<b", "500mg",
]  # fmt: skip
texts = st.one_of(st.text(max_size=80), st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=8)), max_size=8).map(" ".join))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Call 911 now.", "Call 000 now."),
        ("Dial 9-1-1 or go to the ER!", "Dial 000 or go to the ED!"),
        ("Go to the emergency room.", "Go to the emergency department."),
        ("See your primary care physician or your PCP.", "See your GP or your GP."),
        ("Take acetaminophen. Albuterol helps.", "Take paracetamol. Salbutamol helps."),
        ("She takes Tylenol.", "She takes paracetamol."),
        ("The tumor had a gray color, ANEMIA and edema.", "The tumour had a gray colour, ANAEMIA and oedema."),
        ("donâ€™t <b>worry</b><br>5 &lt; 7", "don't worry\n5 < 7"),
        ("10<sup>9</sup>/L", "10^9/L"),
        ("PMHx: diabetis\nCC : cough", "Past medical history: diabetes\nPresenting complaint : cough"),
        (".5 mg and 500mg", "0.5 mg and 500 mg"),
        ("24/03/2026 8:15 PM HR=88 SPO2: 93", "2026-03-24 20:15 HR 88 /min SpO2 93 %"),
    ],
)
def test_wording_becomes_australian_and_uniform(before: str, after: str) -> None:
    assert standardise(before).text == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Fasting glucose of 126 mg/dL.", "Fasting glucose of 126 mg/dL (7.0 mmol/L)."),
        ("LDL cholesterol 100-130 mg/dl", "LDL cholesterol 100-130 mg/dL (2.6–3.4 mmol/L)"),
        ("creatinine 1.2 mg/dL, glucose 90 mg/dL", "creatinine 1.2 mg/dL (106 µmol/L), glucose 90 mg/dL (5.0 mmol/L)"),
        ("HbA1c was 7.0%", "HbA1c was 7.0% (53 mmol/mol)"),
        ("temperature 101.3 F", "temperature 101.3 F (38.5 °C)"),
    ],
)
def test_the_australian_unit_stands_beside_the_value_as_it_came(before: str, after: str) -> None:
    assert standardise(before).text == after


@pytest.mark.parametrize(
    "text",
    [
        "In 911 patients the ER positive tumour shrank.",
        "metformin, the ER tablets",
        "PCP pneumonia",
        "He saw glyceryl trinitrate and prothrombin time on the form.",
        "An A1c drop of 1.5% was seen.",
        "126 mg/dL (7.0 mmol/L) of glucose",
        "5 <b and c> 3",
        "as part of it, these differ in size",
        "03/04/2026 08:00 HR 88 /min",
        "The peak flow meter is in the surgery; the hospital's cardiology team rang.",
    ],
)
def test_what_is_right_or_cannot_be_known_is_left(text: str) -> None:
    assert standardise(text).text == text


def test_a_day_stands_before_the_month_in_australian_sources_alone() -> None:
    assert standardise("03/04/2026 08:00 HR 88 /min", locale="en-AU").text == "2026-04-03 08:00 HR 88 /min"


@pytest.mark.parametrize(
    "damaged", ["amoxi cillin", "amoxicil", "amoxicilin", "am0xicillin", "amox!cillin", "amoxi-cillin", "amoxic\ufffdllin"]
)
def test_a_damaged_name_that_can_be_one_medicine_alone_is_repaired(damaged: str) -> None:
    result = standardise(f"She takes {damaged} daily.")
    assert result.text == "She takes amoxicillin daily."
    assert not result.doubtful


def test_a_damaged_name_that_may_be_several_medicines_is_not_guessed_and_drops_its_record() -> None:
    ledger = DropLedger()
    said = _said("He takes predniso every day.")
    assert standardise(said.messages[0].content).text == said.messages[0].content
    assert standardise_conversation(said, ledger) is None
    assert [(e.action, e.reason) for e in ledger.entries] == [("dropped", "corrupted_medicine")]


def test_every_generic_is_left_as_it_is() -> None:
    american = {"acetaminophen", "albuterol"}
    singles = sorted(name for name in generics() if name.isalpha() and name not in american)
    changed = {name: standardise(f"She takes {name} now.").text for name in singles}
    assert {name: text for name, text in changed.items() if text != f"She takes {name} now."} == {}


def test_american_names_are_turned_into_what_the_knowledge_calls_them() -> None:
    known = {synonym: medicine.generic for medicine in medicines() for synonym in medicine.synonyms}
    wrong = {}
    for synonym in ("acetaminophen", "albuterol", "epinephrine", "meperidine", "glyburide", "rifampin", "cyclosporine", "norethindrone"):
        if standardise(synonym).text.lower() != known[synonym]:
            wrong[synonym] = standardise(synonym).text
    assert wrong == {}


def test_each_rule_that_changed_something_is_an_entry_of_the_ledger_without_the_words() -> None:
    ledger = DropLedger()
    result = standardise_conversation(_said("The color, the odor; acetaminophen."), ledger)
    assert result is not None and result.messages[0].content == "The colour, the odour; paracetamol."
    assert {(e.stage, e.action, e.reason) for e in ledger.entries} == {
        ("standardise", "changed", "us.words"),
        ("standardise", "changed", "us.medicines"),
    }
    assert any(e.detail.startswith("2 times, first in message 1, character 4") for e in ledger.entries)
    assert not any("color" in e.detail for e in ledger.entries)


def test_a_message_of_markup_alone_is_dropped() -> None:
    ledger = DropLedger()
    assert standardise_conversation(_said("<div> <br/> </div>"), ledger) is None
    assert ledger.entries[0].reason == "nothing_left"


@given(texts)
@settings(max_examples=150, deadline=None)
def test_a_standardised_text_is_left_as_it_is(text: str) -> None:
    once = standardise(text).text
    again = standardise(once)
    assert (again.text, again.changes) == (once, ())


@given(texts)
@settings(max_examples=150, deadline=None)
def test_what_lies_outside_of_the_changes_stands_in_the_result_unchanged_and_in_order(text: str) -> None:
    result = standardise(text)
    touched = [False] * (len(text) + 1)
    for change in result.changes:
        assert 0 <= change.start <= change.end <= len(text)
        touched[change.start : change.end] = [True] * (change.end - change.start)
    place = 0
    for letter in (letter for letter, is_touched in zip(text, touched, strict=False) if not is_touched):
        place = result.text.find(letter, place) + 1
        assert place > 0


@given(st.text(alphabet="0123456789.,-–/ %mgdlLFHbA1cglucose creatinine°()", max_size=60))
@settings(max_examples=100, deadline=None)
def test_a_converted_value_is_not_converted_again(text: str) -> None:
    assert standardise(standardise(text).text).changes == ()


def test_a_unit_of_which_nothing_is_known_is_not_converted() -> None:
    assert conversion("unknownium", "mg/dL") is None


def _said(words: str) -> Conversation:
    return Conversation(messages=(Message(role="user", content=words),), provenance=Provenance(source="s", where="f:1", family="f"))
