"""Every sentence of the line: approved by the same rules as generated ones, filled only from what it is given."""

from __future__ import annotations

import datetime as dt

import pytest

from bedside.errors import KnowledgeError
from bedside.knowledge.facts import read_facts
from bedside.knowledge.prompts import Prompt, prompts
from bedside.phone.call.speaking import say
from bedside.phone.practice import Practice
from bedside.safety.guard import guard

DAY = dt.date(2026, 11, 23)
OWN_POLICY = {"bulk_bill.all", "bulk_bill.some"}
"""The practice's own dated policy, which nothing else may say; `fee.bulk_billing` follows it."""


@pytest.mark.parametrize("prompt", prompts().values(), ids=lambda prompt: prompt.id)
def test_a_sentence_of_the_line_may_be_said(practice: Practice, prompt: Prompt) -> None:
    said = say(practice, DAY, prompt.id, dict.fromkeys(prompt.slots, "something")).text
    assert said[0].isupper() and "{" not in said
    assert len(said.split()) <= 40, "a caller cannot keep more in mind"
    found = guard(
        said.replace("triple zero", "000"), day=DAY, protocol=practice.protocol_on(DAY), allowed_numbers=["1", "2", "3", "4", "5", "0"]
    )
    assert found.violations == () or prompt.id in OWN_POLICY


def test_the_emergency_number_comes_from_the_table_and_is_read_as_people_say_it(practice: Practice) -> None:
    assert "call triple zero" in say(practice, DAY, "close.goodbye", {}).text
    assert say(practice, DAY, "close.goodbye", {}).text.startswith(f"Thanks for calling {practice.name}.")


def test_a_slot_too_many_or_too_few_is_an_error(practice: Practice) -> None:
    for slots in ({}, {"first": "a", "second": "b", "third": "c"}):
        with pytest.raises(KnowledgeError, match="It takes"):
            say(practice, DAY, "offer.two", slots)


@pytest.mark.parametrize("text", ["Ring 13 11 14.", "Call {lifeline.digits}.", "Ring 9555."])
def test_a_number_typed_into_a_sentence_is_refused(text: str) -> None:
    with pytest.raises(KnowledgeError, match="fault"):
        read_facts(Prompt, f'facts: [{{id: a.b, source: test, certainty: C, text: "{text}"}}]', "prompts")
