"""Decontamination: planted copies and paraphrases of a suite are found, and unrelated records stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.corpus.conversation import Conversation, Message, Provenance
from bedside.corpus.decontaminate import Contaminant, Decontaminator, confirmed, decontaminate
from bedside.engine.embedding import SentenceEmbedder
from bedside.errors import SourceError
from bedside.workspace.ledger import DropLedger

PAIRS = yaml.safe_load((Path(__file__).parent / "paraphrases.yaml").read_text(encoding="utf-8"))
LONG = "my mother has been coughing for three weeks now and the tablets from the chemist did nothing so we want to see doctor walker"


def conversation(text: str, answer: str = "Thank you.") -> Conversation:
    messages = (Message(role="user", content=text), Message(role="assistant", content=answer))
    return Conversation(messages=messages, provenance=Provenance(source="calls", where="1", family="1"))


def found_in(suite: list[str], text: str, answer: str = "Thank you.") -> bool:
    return Decontaminator({"suite": suite}).judge([conversation(text, answer)])[0] is not None


def test_every_verbatim_copy_is_found_in_any_dress() -> None:
    originals = [text for part in PAIRS.values() for text, _ in part]
    suites = Decontaminator({"pairs": originals})
    planted = [
        conversation(f"Hello! {text.upper().replace(' ', '  ')}... thanks") if len(text.split()) > 5 else conversation(text)
        for text in originals
    ]
    assert None not in suites.judge(planted)


def test_thirteen_words_in_a_row_are_found_and_twelve_are_not() -> None:
    words = LONG.split()
    assert found_in([LONG], "so " + " ".join(words[5:18]) + " then")
    assert found_in([LONG], "so", answer="well " + " ".join(words[5:18]))
    assert not found_in([LONG], "so " + " ".join(words[5:17]) + " then")


def test_a_few_common_words_count_only_as_the_whole_message() -> None:
    assert found_in(["yes please"], "Yes, please!")
    assert not found_in(["yes please"], "yes please can i see the doctor")


def test_the_ledger_names_the_suite_and_never_the_words() -> None:
    ledger = DropLedger()
    kept = list(decontaminate([conversation(f"so {LONG}"), conversation("are you open")], Decontaminator({"turns": [LONG]}), ledger))
    assert [c.messages[0].content for c in kept] == ["are you open"]
    [entry] = ledger.entries
    assert (entry.stage, entry.reason, entry.detail) == ("decontaminate", "in_evaluation", "turns: 13 words in a row")


def test_a_doubtful_likeness_removes_only_the_few_records_most_like_a_text() -> None:
    def likeness(value: float, text: int = 0) -> Contaminant:
        return Contaminant("means_evaluation", "turns", "", text, value)

    doubtful = [("calls", number, likeness(0.5 + number / 1000)) for number in range(40)]
    others = [
        ("notes", 50, likeness(0.46)),
        ("calls", 51, likeness(0.45, text=1)),
        ("calls", 52, likeness(0.7)),
        ("calls", 53, likeness(1.0)),
    ]
    assert set(confirmed(doubtful + others)) == {37, 38, 39, 50, 51, 52, 53}


def test_a_suite_without_texts_is_refused() -> None:
    with pytest.raises(SourceError, match="'empty' has no text"):
        Decontaminator({"turns": [LONG], "empty": ["..."]})


def test_without_suites_everything_stays() -> None:
    assert Decontaminator({}).judge([conversation(LONG)]) == [None]


@pytest.mark.slow
def test_paraphrases_that_chose_nothing_are_found_and_other_questions_stay() -> None:
    embedder = SentenceEmbedder()
    held_out = PAIRS["held_out"]
    said_again = [conversation(text) for _, text in held_out]
    found = Decontaminator({"held out": [text for text, _ in held_out]}, embedder=embedder).judge(said_again)
    assert sum(hit is not None for hit in found) >= 0.95 * len(held_out)
    assert {hit.reason for hit in found if hit} == {"means_evaluation"}
    other = Decontaminator({"questions": [text for text, _ in held_out[26:]]}, embedder=embedder).judge(said_again[:26])
    assert sum(hit is not None for hit in other) <= 1


@settings(max_examples=80, deadline=None)
@given(st.text(min_size=1), st.text(), st.text())
def test_any_text_is_found_word_for_word(text: str, before: str, after: str) -> None:
    try:
        suites = Decontaminator({"any": [text]})
    except SourceError:
        return
    assert suites.judge([conversation(text)])[0] is not None
    suites.judge([conversation(before + text + after)])
