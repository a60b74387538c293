"""A call typed in a terminal: what is written, what the transcript tells, and a whole call with the real model."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from clinic_by_phone import Clinic

from bedside.phone.call.text import event_of, text_call

RELEASE = Path(__file__).parents[3] / "runs" / "clinic-line" / "release"
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


@pytest.mark.slow
@pytest.mark.skipif(not (RELEASE / "model.gguf").exists(), reason="no clinic-line release in runs/; make one with: bedside demo")
def test_a_booking_is_understood_by_the_released_model(clinic: Clinic) -> None:
    from bedside.engine.llamacpp import LlamaCppEngine
    from bedside.engine.understanding import classify
    from bedside.release import load_release

    release = load_release(RELEASE)
    engine = LlamaCppEngine(release.model, release.contract, threads=1)
    try:
        call = clinic.ring(
            "hi love any chance of getting in with doctor nguyen on thursday",
            "the second one",
            *MARY,
            "too easy",
            "nah i'm right",
            understand=partial(classify, engine),
        )
    finally:
        engine.close()
    assert call.ended == "hang-up", call.prompts
    assert [one.practitioner for one in clinic.diary.upcoming("p1")] == ["nguyen"]
