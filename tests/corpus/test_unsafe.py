"""Answers that must not be taught are found, placed and counted by rule; careful ones pass."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.corpus.conversation import Conversation, Message, Provenance
from bedside.corpus.unsafe import check_conversation, unsafe
from bedside.workspace.ledger import DropLedger

DAY = date(2026, 11, 22)
CHEST = "I have crushing chest pain and my left arm is numb"


@pytest.mark.parametrize(
    ("question", "answer", "rule"),
    [
        (CHEST, "Don't worry, it will pass.", "reassures-red-flag"),
        ("What helps a headache?", "Take 500 mg twice a day.", "dose"),
        ("My child cannot breathe", "Call 911.", "foreign-emergency-service"),
        ("I feel low", "Ring the National Suicide Prevention Lifeline.", "foreign-helpline"),
        ("I have a rash", "Please visit our clinic for a review.", "advertises"),
        ("I have a rash", "More at www.example.com/rash", "advertises"),
        ("I have a rash", "See skin doctor dot com dot au", "advertises"),
        ("I have a rash", "For more, consult a dermatologist online -->", "advertises"),
        ("I have a rash", "Thanks for using Chat Doctor.", "platform-phrase"),
        ("I have a rash", "As an AI language model I cannot see it.", "names-a-model"),
        ("Can I take warfarin with ibuprofen?", "Yes, it is safe to take them together.", "contradicts-interactions"),
    ],
)
def test_an_unsafe_answer_is_dropped_by_its_rule(question: str, answer: str, rule: str) -> None:
    findings = unsafe(question, answer, day=DAY)
    assert (rule, "drop") in {(finding.rule, finding.action) for finding in findings}
    assert all(answer[finding.place[0] : finding.place[1]] == finding.words for finding in findings if finding.place != (0, 0))


def test_an_answer_that_is_silent_on_a_red_flag_goes_to_review() -> None:
    assert [(f.rule, f.action) for f in unsafe(CHEST, "It may come from the ribs.", day=DAY)] == [("silent-on-red-flag", "review")]


def test_reassurance_beside_a_direction_to_urgent_care_is_for_a_clinician_to_judge() -> None:
    assert {f.action for f in unsafe(CHEST, "Call 000 now. It will pass.", day=DAY)} == {"review"}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (CHEST, "This could be an emergency. Hang up and call triple zero, 000, now and ask for an ambulance."),
        (
            "What is asthma?",
            "Asthma narrows the airways. In children it often begins with a cough, e.g. at night. See a doctor.In time it is measured.",
        ),
        ("", "The GP can look at the rash."),
        ("What does it mean?", "A glucose of 126 mg/dL (7.0 mmol/L) is above the fasting interval."),
    ],
)
def test_a_careful_answer_passes(question: str, answer: str) -> None:
    assert unsafe(question, answer, day=DAY) == ()


def test_a_conversation_is_counted_once_for_each_rule() -> None:
    ledger = DropLedger()
    answers = ("Take 5 mg.", "Take 10 mg or 20 mg. See www.example.com")
    messages = tuple(Message(role=role, content=text) for answer in answers for role, text in (("user", "I ache"), ("assistant", answer)))
    found = check_conversation(Conversation(messages=messages, provenance=Provenance(source="s", where="f:1", family="f")), ledger, day=DAY)
    assert len(found) == 3
    assert ledger.counts() == {"unsafe/dropped/dose": 1, "unsafe/dropped/advertises": 1}


@given(st.text(max_size=120), st.text(max_size=120))
@settings(max_examples=40, deadline=None)
def test_anything_can_be_read(question: str, answer: str) -> None:
    for finding in unsafe(question, answer, day=DAY):
        assert 0 <= finding.place[0] <= finding.place[1] <= len(answer)
