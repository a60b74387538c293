"""Approved texts: filled from tables, and from nothing else."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from bedside.errors import KnowledgeError
from bedside.knowledge.dispositions import dispositions
from bedside.knowledge.protocol import Practice, Protocol, load_protocol
from bedside.safety.approved import say, tables

DAY = date(2026, 11, 22)
PRACTICE = Protocol(practice=Practice.model_validate({"name": "Wattle Street Practice", "fees": {"standard": "89.50", "long": "140"}}))


def test_greeting_begins_with_the_emergency_number() -> None:
    assert say("greeting", day=DAY, channel="speech").startswith("If this is an emergency, hang up and call triple zero now.")
    assert "call 000 now" in say("greeting", day=DAY)
    assert "Wattle Street Practice" in say("greeting", day=DAY, protocol=PRACTICE)


def test_every_disposition_and_every_text_can_be_said() -> None:
    assert all(say(place.says, day=DAY) for place in dispositions().values())
    today = tables(DAY, PRACTICE)
    assert all(list(today.every(name)) for name in today.texts)


def test_speech_reads_numbers_digit_by_digit() -> None:
    assert "one three, one one, two six" in say("say.e_poison", day=DAY, channel="speech")
    assert not re.search(r"\d", say("say.e000", day=DAY, channel="speech"))


def test_unconfirmed_digits_are_never_said() -> None:
    with pytest.raises(KnowledgeError, match="not confirmed"):
        say("urgent.helpline", day=DAY, line="1800medicare")
    assert not re.search(r"1800\s?633", say("call.after_hours", day=DAY))


def test_fee_comes_from_the_practice_or_is_refused() -> None:
    assert "$89.50" in say("fee.quote", day=DAY, protocol=PRACTICE, fee="standard")
    assert "140 dollars." in say("fee.quote", day=DAY, protocol=PRACTICE, channel="speech", fee="long")
    for protocol, fee in ((None, "standard"), (PRACTICE, "89.50"), (PRACTICE, "")):
        with pytest.raises(KnowledgeError, match="no fee"):
            say("fee.quote", day=DAY, protocol=protocol, fee=fee)


@pytest.mark.parametrize("slots", [{}, {"line": "lifeline", "more": "x"}, {"number": "13 11 14"}])
def test_slots_too_many_or_too_few_are_refused(slots: dict[str, str]) -> None:
    with pytest.raises(KnowledgeError, match="slots"):
        say("urgent.helpline", day=DAY, **slots)


@pytest.mark.parametrize("line", ["13 11 14", "healthdirect", ""])
def test_number_that_is_no_helpline_of_today_is_refused(line: str) -> None:
    with pytest.raises(KnowledgeError, match="does not hold"):
        say("urgent.helpline", day=DAY, line=line)


def test_unknown_text_is_refused() -> None:
    with pytest.raises(KnowledgeError, match=r"say\.e000"):
        say("say.e00", day=DAY)


def test_practice_gives_its_own_confirmed_number_and_text(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "add:\n  helplines: [{id: local.nurse, name: District nurse, number: 02 5550 1234, use: x, source: practice, certainty: A}]\n"
        "  approved_texts: [{id: local.text, text: 'Ring {lifeline.number}.', source: practice, certainty: A}]\n"
    )
    protocol = load_protocol(tmp_path / "p.yaml")
    assert say("local.text", day=DAY, protocol=protocol) == "Ring 13 11 14."
    assert say("urgent.helpline", day=DAY, protocol=protocol, line="local.nurse") == "You can ring District nurse on 02 5550 1234."
