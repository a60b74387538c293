"""A call typed in a terminal: what is written, and what the transcript tells."""

from __future__ import annotations

import json

from clinic_by_phone import Clinic

from bedside.phone.call.text import event_of, facts_in_words, text_call

MARY = ("mary brown third of march nineteen sixty two", "oh four nine one five seven oh double oh six")


def test_a_conversation_is_written_line_by_line_and_timed_by_stage(clinic: Clinic) -> None:
    written: list[str] = []
    call = text_call(clinic.setting(), clinic.desk(), ["book me in for friday", "the first", *MARY, "yes", "no"], written.append)
    assert any("I have Friday at" in line for line in written) and written[-1].endswith("Goodbye.")
    turn = next(entry for entry in call.entries if entry.text == "book me in for friday")
    assert turn.ms.keys() == {"safety", "understanding", "action"} and all(ms >= 0 for ms in turn.ms.values())
    again = json.loads(json.dumps(call.as_json()))
    assert again["ended"] == "hang-up" and [entry["what"] for entry in again["entries"] if entry["who"] == "line"] == call.prompts


def test_keys_silence_noise_and_half_said_words_have_their_lines(clinic: Clinic) -> None:
    assert clinic.ring("", "/noise", "/0").prompts[-3:] == ["quiet.again", "noise.keys", "call.handoff"]
    assert clinic.ring("/partial my husband has collapsed").prompts[-1] == "say.e000"
    assert clinic.ring("/hangup", "hello").ended == "caller"
    assert event_of("  hello  ") == event_of("hello")


def test_nobody_answers_a_transfer_and_a_message_is_taken(clinic: Clinic) -> None:
    call = clinic.ring("/0", answered=False)
    assert call.ended == "message" and call.prompts[-2:] == ["call.nobody_answers", "message.leave"]


def test_nobody_says_anything_and_the_lines_end(clinic: Clinic) -> None:
    assert clinic.ring().ended == "caller"


def test_facts_are_written_for_people() -> None:
    facts = {"rules": ("RF-1", "RF-2"), "slots": ["day"], "accepted": True, "answered": [False], "turn": 2, "to": "reception", "none": []}
    assert facts_in_words(facts) == "rules=RF-1, RF-2; slots=day; accepted=yes; answered=no; turn=2; to=reception; none="
