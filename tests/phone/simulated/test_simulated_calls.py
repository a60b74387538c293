"""Simulated callers: by typing to their end, and a few by voice over real SIP."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bedside.cli import app
from bedside.errors import BaseModelError
from bedside.knowledge.store import facts
from bedside.phone.call.speaking import sentences
from bedside.phone.line import Line, LineSettings
from bedside.phone.practice import read_practice
from bedside.phone.simulated.load import measure_load, plot
from bedside.phone.simulated.people import Plan, Talker, _replies, errands, personas, plans
from bedside.phone.simulated.report import write_report
from bedside.phone.simulated.run import by_text, by_voice, in_hours
from bedside.phone.simulated.scoring import Result, Share, percentile, summary
from bedside.phone.simulated.voices import Voices
from bedside.phone.words.births import birth_date
from bedside.phone.words.digits import phone_number
from bedside.phone.words.letters import person_name
from bedside.workspace.audit import AuditLog
from fixtures_phone_media import program, skip_or_fail

PRACTICE = Path(__file__).parents[3] / "practices" / "wattle-street.yaml"


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Result]]:
    """Every persona with a booking, a move, and each emergency, by typing, understood by the words of the menu."""
    line = Line(read_practice(PRACTICE), LineSettings(tmp_path_factory.mktemp("line")))
    chosen = {"book_anybody", "move", "chest_pain", "stroke", "breathing"}
    wanted = [plan for plan in plans(line.practice, 128) if plan.errand.id in chosen]
    yield by_text(line, wanted, lambda done, of: None)


def test_callers_get_what_they_ring_for_and_emergencies_are_heard(typed: list[Result]) -> None:
    found = summary(typed)
    assert found.urgent.of == 24 and found.urgent.right == 24
    assert found.done.of == 16 and found.done.value >= 0.75


def test_a_score_is_taken_from_the_diary_not_from_what_was_said(typed: list[Result]) -> None:
    booked = [one for one in typed if one.plan.errand.id == "book_anybody"]
    assert all(("book.done" in one.transcript.prompts) == one.done for one in booked) and any(one.done for one in booked)


def test_the_report_shows_every_call_the_failures_first_and_loads_nothing(typed: list[Result], tmp_path: Path) -> None:
    typed[0].done, typed[0].audio, typed[0].fault = False, "000-x.wav", "<b>hung</b>"
    write_report(tmp_path / "report.html", typed, {"Practice": "A & B"})
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<details") == len(typed) and page.index("calls failed") < page.index("came to what")
    assert 'src="audio/000-x.wav"' in page and "&lt;b&gt;hung" in page and "A &amp; B" in page and "Not a medical device" in page
    assert not re.search(r"https?://", page)


def test_every_reply_answers_a_sentence_that_the_line_has() -> None:
    sayable = {*sentences(), *(fact.id for fact in facts("approved_texts"))}
    own = {prompt for errand in errands() for prompt in (*errand.replies, *errand.wants.told, *errand.wants.urgent)}
    assert {*_replies()["replies"], *_replies()["checks"], *own} <= sayable


@pytest.mark.parametrize("persona", personas(), ids=lambda persona: persona.id)
def test_a_persona_says_its_own_data_and_its_number_is_of_the_block_for_fiction(persona: object) -> None:
    assert isinstance(persona, type(personas()[0]))
    assert phone_number(persona.number) == persona.mobile and persona.mobile.startswith("04915")
    today = persona.born.replace(year=2026)
    assert birth_date(persona.person, today) == persona.born
    name = person_name(persona.person.split(",")[0].split(".")[0])
    assert name is not None and (name.given, name.family) == (persona.given, persona.family)


def test_plans_are_the_same_each_time_and_words_change() -> None:
    practice = read_practice(PRACTICE)
    assert plans(practice, 200) == plans(practice, 200)
    talker = Talker(plans(practice, 1)[0])
    assert len({talker.tell() for _ in range(4)}) == 4


@pytest.mark.parametrize(("right", "of", "low", "high"), [(0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (85, 100, 0.767, 0.907)])
def test_intervals_are_wilsons(right: int, of: int, low: float, high: float) -> None:
    assert Share(right, of).interval == pytest.approx((low, high), abs=0.001)
    assert str(Share(0, 0)) == "none" and percentile([1, 2, 3, 4], 50) == 2


def test_a_typed_call_is_in_the_audit_log(tmp_path: Path) -> None:
    said = "book me in for friday\nthe first\nmary brown third of march 1962\n/0491570006#\n"
    told = CliRunner().invoke(app, ["call", "--practice", str(PRACTICE), "--text", "--json", "--data", str(tmp_path)], input=said)
    assert told.exit_code == 0, told.output
    log = AuditLog(tmp_path / "audit")
    kinds = [entry.kind for entry in log.entries()]
    assert kinds[0] == "call.started" and {"call.notice", "turn.understood", "tool.called", "call.ended"} <= set(kinds)
    assert "mary" not in "".join(json.dumps(entry.data) for entry in log.entries()).lower() and log.verify().broken is None


def test_simulated_callers_are_a_command_that_leaves_a_report(tmp_path: Path) -> None:
    told = CliRunner().invoke(
        app, ["phone", "simulate", "--practice", str(PRACTICE), "--text", "--calls", "3", "--out", str(tmp_path / "out")]
    )
    assert told.exit_code == 0 and "got what they rang for: " in told.output and "next: open" in told.output, told.output
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize("calls", ["", "1,x", "0", "501"])
def test_steps_of_load_that_are_none_are_refused(calls: str) -> None:
    told = CliRunner().invoke(app, ["phone", "load", "--practice", str(PRACTICE), "--calls", calls])
    assert told.exit_code == 2 and "such as 1,8,32" in told.output


def _voices() -> Voices:
    program("espeak-ng", "espeak-ng")
    from bedside.workspace.fetch import cache_folder

    return Voices(cache_folder() / "simulated-callers")


@pytest.mark.slow
def test_callers_ring_by_sip_book_by_voice_and_are_heard_in_an_emergency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEDSIDE_CACHE", str(PRACTICE.parents[1] / ".cache" / "bedside"))
    practice = read_practice(PRACTICE)
    wanted = [_plan(practice, "plain", "book_anybody"), _plan(practice, "elderly", "chest_pain"), _plan(practice, "minimising", "person")]
    line = Line(practice, LineSettings(tmp_path / "line", voice="espeak", workers=2))
    _voices()
    (tmp_path / "audio").mkdir()
    try:
        found = asyncio.run(by_voice(line, wanted, tmp_path, None, lambda done, of: None, lambda done, of: None))
    except BaseModelError as error:
        skip_or_fail(str(error))
        raise
    logs = {one.plan.errand.id: [(entry.who, entry.what, entry.text) for entry in one.transcript.entries] for one in found}
    assert all(one.done for one in found), logs
    assert all((tmp_path / "audio" / one.audio).stat().st_size > 100_000 for one in found)
    booking, emergency, person = (
        next(one for one in found if one.plan.errand.id == name) for name in ("book_anybody", "chest_pain", "person")
    )
    assert emergency.urgent_s is not None and emergency.urgent_s < 2
    assert person.transcript.ended == "person" and booking.first_audio_ms


def _plan(practice: object, persona: str, errand: str) -> Plan:
    return next(one for one in plans(practice, 128) if (one.persona.id, one.errand.id) == (persona, errand))  # type: ignore[arg-type]


@pytest.mark.slow
def test_load_is_measured_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEDSIDE_CACHE", str(PRACTICE.parents[1] / ".cache" / "bedside"))
    line = in_hours(Line(read_practice(PRACTICE), LineSettings(tmp_path, voice="espeak", workers=2)))
    try:
        [step] = asyncio.run(measure_load(line, [2], 30, tmp_path, lambda step: None, _voices()))
    except BaseModelError as error:
        skip_or_fail(str(error))
        raise
    assert step.made == step.answered == 2 and step.waits == 2 * step.answered and step.unanswered == 0
    assert 0 < step.wait_p50_s <= step.wait_p95_s < 5 and step.cpu["speech recognition"] > 0
    assert "<svg" in plot([step])
