"""The dialogue rules of the line, one by one: openings, silence, noise, people, faults, emergencies."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from clinic_by_phone import Clinic, Ringing, meaning

from bedside.engine.understanding import Understanding
from bedside.errors import EngineError
from bedside.phone.call.events import (
    Act,
    Connected,
    Done,
    Fault,
    HangUp,
    Heard,
    Hush,
    Noise,
    Note,
    Pressed,
    Say,
    Silence,
    Spoken,
    StartRecording,
    StopRecording,
    Transfer,
    TransferFailed,
    Transferred,
    Voicemail,
)
from bedside.phone.call.line import State
from bedside.phone.call.machine import Call
from bedside.phone.call.paths import path_of
from bedside.phone.call.text import Driver
from bedside.workspace.audit import AuditLog

MARY = ("mary brown third of march nineteen sixty two", "0491570006")


def test_the_emergency_sentence_comes_first_then_that_it_is_a_machine_and_recorded(clinic: Clinic) -> None:
    first, *_, last = [action for action in Ringing(clinic).actions if isinstance(action, Say)]
    assert first.text.startswith("If this is an emergency, hang up and call triple zero now") and first.must_hear
    assert "automated assistant, not a person" in last.text and "don't record" in last.text


def test_recording_begins_only_once_the_notice_was_heard_to_its_end(clinic: Clinic) -> None:
    call = Call(clinic.setting())
    assert not any(isinstance(action, StartRecording) for action in call.receive(Connected()))
    assert call.receive(Spoken("notice.recorded", complete=False)) == []
    assert any(isinstance(action, StartRecording) for action in call.receive(Spoken("notice.recorded")))


def test_dont_record_stops_storage_and_not_the_service(clinic: Clinic) -> None:
    call = Ringing(clinic)("please don't record this")
    assert call.of(StopRecording) and call.state is State.OPEN
    assert "offer.two" in call("can i book for thursday").said()
    assert not Ringing(clinic)("i've got chest pain", Spoken("notice.recorded")).of(StartRecording)


def test_a_red_flag_half_said_during_the_greeting_is_acted_on_at_once(clinic: Clinic) -> None:
    call = Ringing(clinic)(Heard("hi um i've got really bad chest pain", final=False))
    assert call.of(Hush) and call.said()[0] == "say.e000" and call.state is State.EMERGENCY
    assert [one.kind for one in clinic.requests.waiting("nurse")] == ["emergency"]


@pytest.mark.parametrize(
    "before", [(), ("/1",), ("book me in friday",), ("book me in friday", "the first"), ("book me in friday", "the first", *MARY)]
)
def test_an_emergency_is_heard_at_every_question(clinic: Clinic, before: tuple[str, ...]) -> None:
    call = Ringing(clinic)(*(Pressed("1") if line == "/1" else line for line in before))
    call("oh god she's not breathing")
    assert call.said()[0] == "say.e000" and call.state is State.EMERGENCY


def test_nothing_lowers_an_emergency(clinic: Clinic) -> None:
    call = Ringing(clinic)("i've got crushing chest pain", "no no it's nothing i just want to book")
    assert call.said() == ["emergency.person"] and call.of(Transfer)[0].to == "202"
    assert "crushing chest" in call.of(Transfer)[0].summary
    assert call.driver.call.disposition == "E000"


def test_the_end_of_the_same_words_is_no_new_turn(clinic: Clinic) -> None:
    call = Ringing(clinic)(Heard("i've got chest pain", final=False), Heard("i've got chest pain and i feel sick"))
    assert call.state is State.EMERGENCY and call.said() == []
    assert call("i can't ring them").of(Transfer)


def test_a_silent_caller_in_an_emergency_hears_it_again_and_then_gets_a_person(clinic: Clinic) -> None:
    call = Ringing(clinic)("he's collapsed and he's not breathing", Silence(3))
    assert call.said() == ["say.e000"]
    assert call(Silence(3)).of(Transfer)


def test_a_crisis_goes_to_a_person_at_once_and_the_line_does_not_end_it(clinic: Clinic) -> None:
    call = Ringing(clinic)("i just don't want to be here anymore i'm better off dead")
    assert call.driver.call.disposition in ("E_CRISIS", "E000")
    call = Ringing(clinic)("i've been thinking about ending it all")
    assert call.said()[0] == "say.e_crisis" and call.of(Transfer)
    call(TransferFailed())
    call(TransferFailed())
    assert call.of(Voicemail) and not call.of(HangUp) and "urgent.helpline" in call.said()
    assert "ending" not in call.of(Voicemail)[0].summary


def test_first_aid_that_is_approved_is_said_with_the_emergency(clinic: Clinic) -> None:
    assert Ringing(clinic)("bitten by a brown snake on the ankle").said() == ["say.e000", "first_aid.snake"]


def test_words_that_may_be_of_the_past_are_asked_about(clinic: Clinic) -> None:
    understand = _always("appt_new")
    asked = Ringing(clinic, understand)("booking a stress test for chest pain last month")
    assert asked.said() == ["call.happening_now"]
    assert "book.when" in asked("no not now").said()
    unclear = Ringing(clinic, understand)("booking a stress test for chest pain last month", "well sort of")
    assert unclear.said()[0] == "say.e000"


def test_a_denied_alarm_is_not_asked_about_again_for_the_same_words(clinic: Clinic) -> None:
    call = Ringing(clinic, _always("referral_new"))("I need a referral to a cardiologist")
    assert call.said() == ["referral.specialty"] and call("a cardiologist").said() == ["referral.reason"]
    assert call("a hot check-up").said() == ["call.happening_now"]
    assert call("no that's not right", "a cardiologist").said() == ["referral.reason"]
    assert call("a hot check-up").said() == ["identity.name_birth"]
    assert call("a hot check-up and chest pain last month").said() == ["call.happening_now"]


def test_the_models_own_emergency_raises_and_a_clear_no_still_leads_to_a_nurse(clinic: Clinic) -> None:
    understand = _always("emergency")
    assert Ringing(clinic, understand)("something is off with him", "yes").said()[0] == "say.e000"
    assert Ringing(clinic, understand)("something is off with him", "no").of(Transfer)[0].to == "202"


@pytest.mark.parametrize("before", [(), ("book me in friday",), ("book me in friday", "the first"), ("results please",)])
@pytest.mark.parametrize("way", [Pressed("0"), "can i talk to a real person", "receptionist"])
def test_zero_and_person_work_at_every_question(clinic: Clinic, before: tuple[str, ...], way: Any) -> None:
    call = Ringing(clinic)(*before, way)
    assert call.said() == ["call.handoff"] and call.of(Transfer)[0].to == "201"


def test_silence_asks_again_and_then_gets_a_person(clinic: Clinic) -> None:
    call = Ringing(clinic)(Silence(2))
    assert call.said() == []
    assert call(Silence(3)).said() == ["urgent.cannot_talk", "quiet.again"]
    assert call(Silence(3)).said() == ["quiet.person"] and call.of(Transfer)
    asked = Ringing(clinic)("book me in", Silence(3))
    assert asked.said() == ["quiet.again", "book.when"]


def test_noise_offers_keys_and_then_a_person(clinic: Clinic) -> None:
    call = Ringing(clinic)(Noise())
    assert call.said() == ["noise.keys"]
    assert call(Noise()).said() == ["noise.person"]


@pytest.mark.parametrize(
    ("key", "prompt"), [("1", "book.when"), ("3", "identity.name_birth"), ("4", "script.medicine"), ("7", "noise.keys")]
)
def test_every_entry_of_the_menu_has_a_key(clinic: Clinic, key: str, prompt: str) -> None:
    assert Ringing(clinic)(Pressed(key)).said()[0] == prompt


def test_what_was_heard_badly_is_read_back_then_asked_again_then_for_a_person(clinic: Clinic) -> None:
    call = Ringing(clinic)(Heard("cancel my appointment", confidence=0.4))
    assert call.said() == ["turn.read_back"]
    assert call("no").said() == ["turn.again"]
    assert call(Heard("cancel my thing", confidence=0.4)).said() == ["call.handoff"]
    right = Ringing(clinic)(Heard("cancel my appointment", confidence=0.4), "yes")
    assert right.said() == ["identity.name_birth"]


def test_a_hesitating_model_is_read_back_too(clinic: Clinic) -> None:
    assert Ringing(clinic, lambda text: meaning("results", entropy=1.4))("um the thing").said() == ["turn.read_back"]


def test_a_symptom_heard_badly_is_for_a_person(clinic: Clinic) -> None:
    call = Ringing(clinic, _always("symptom_triage"))(Heard("my tummy is funny", confidence=0.5))
    assert call.said() == ["say.human"] and call.of(Transfer)[0].to == "202"


def test_two_turns_that_mean_nothing_are_for_a_person(clinic: Clinic) -> None:
    call = Ringing(clinic)("the quick brown fox")
    assert call.said() == ["turn.nothing"]
    assert call("jumps over").of(Transfer)


def test_an_answer_that_cannot_be_read_is_asked_once_more_in_other_words(clinic: Clinic) -> None:
    call = Ringing(clinic)("book me in", "purple")
    assert call.said() == ["book.when_again"]
    assert call("purple").of(Transfer)


def test_an_unsure_yes_books_nothing(clinic: Clinic) -> None:
    call = Ringing(clinic)("book me in friday", "the first", *MARY, Heard("yes", confidence=0.3))
    assert call.said() == ["book.confirm"] and clinic.diary.upcoming("p1") == []
    assert "book.done" in call("yes").said()


def test_a_yes_that_was_heard_badly_twice_is_a_yes_and_a_yes_and_a_no_are_neither(clinic: Clinic) -> None:
    twice = Ringing(clinic)("book me in friday", "the first", *MARY, Heard("Yes.", confidence=0.3))
    assert "book.done" in twice(Heard("yes, please", confidence=0.4)).said()
    unlike = Ringing(clinic)("book me in friday", "the first", *MARY, Heard("yes", confidence=0.3))
    assert unlike(Heard("no", confidence=0.3)).of(Transfer)


def test_at_most_two_questions_come_before_times_are_offered(clinic: Clinic) -> None:
    call = Ringing(clinic)("can i make an appointment", "friday")
    assert [prompt for prompt in call.said(all_of_it=True) if prompt.startswith(("book.", "identity.", "offer."))] == [
        "book.when",
        "offer.two",
    ]


def test_say_that_again_repeats_the_question(clinic: Clinic) -> None:
    call = Ringing(clinic)("book me in", "can you repeat that")
    assert call.said() == ["book.when"] and call.state is State.ASKING


def test_two_mismatches_are_for_a_person_and_nothing_is_said_of_a_record(clinic: Clinic) -> None:
    call = Ringing(clinic)(
        "cancel my appointment", "mary brown third of march nineteen sixty three", "0491570006", *(MARY[0], "0491570999")
    )
    assert call.said() == ["identity.person"]
    assert not any(action.personal for action in call.actions if isinstance(action, Say))


def test_a_wish_for_somebody_else_asks_who_anew(clinic: Clinic) -> None:
    wants = {"when is mine": meaning("appt_when"), "when is mum's": meaning("appt_when", who="mum")}
    call = Ringing(clinic, wants.__getitem__)("when is mine", *MARY)
    assert call("when is mum's").said() == ["identity.patient"]


def test_distress_without_a_red_flag_is_for_a_person(clinic: Clinic) -> None:
    call = Ringing(clinic)("i can't cope with this anymore i've been crying all day")
    assert call.of(Transfer) and call.said()[0] in ("distress.person", "say.nurse_now", "say.e_crisis", "say.human")


def test_a_red_flag_for_the_nurse_goes_to_the_nurse_and_a_failed_transfer_to_emergency_words(clinic: Clinic) -> None:
    call = Ringing(clinic)("i fainted this morning but i'm alright now")
    assert call.driver.call.disposition == "NURSE_NOW" and call.of(Transfer)[0].to == "202"
    call(TransferFailed())
    assert call.of(Transfer)[0].to == "201"
    call(TransferFailed())
    assert call.said() == ["call.nobody_answers", "say.ed_now", "message.leave"] and call.of(Voicemail)[0].urgent


def test_a_symptom_told_in_the_middle_of_a_script_comes_first(clinic: Clinic) -> None:
    call = Ringing(clinic)("i want my results", "mary brown and my calf is swollen and hot")
    assert call.said() == ["say.same_day", "offer.two"]
    assert call.driver.call.disposition == "SAME_DAY"


def test_when_nothing_is_free_today_for_somebody_who_has_to_be_seen_a_nurse_takes_over(clinic: Clinic) -> None:
    clinic.now = clinic.now.replace(hour=17, minute=50)
    call = Ringing(clinic, _always("symptom_triage"))("my little girl has an ear infection")
    assert call.of(Transfer)[0].to == "202"


def test_a_caller_is_told_where_help_is_when_the_practice_is_closed(clinic: Clinic) -> None:
    clinic.now = clinic.now.replace(hour=22)
    call = Ringing(clinic)
    assert call.said()[0] == "greeting" and "call.after_hours" in call.said()
    assert call(Pressed("0")).said() == ["closed.message", "message.leave"] and call.of(Voicemail)
    urgent = Ringing(clinic)("he's had a stroke his face is drooping", "what do i do")
    assert "call.nobody_answers" in urgent.said() and urgent.of(Voicemail)[0].urgent
    assert "offer.two" in Ringing(clinic)("book me in for thursday").said()


def test_a_dead_model_leaves_the_words_of_the_menu(clinic: Clinic) -> None:
    def dead(text: str) -> Understanding:
        raise EngineError("the model does not answer", "Start it again")

    assert Ringing(clinic, dead)("can i cancel my appointment").said() == ["identity.name_birth"]
    lost = Ringing(clinic, dead)("it's about the thing")
    assert lost.said() == ["fault.no_model"]
    assert lost("that thing").said() == ["turn.nothing"] and lost("you know").of(Transfer)


def test_a_locked_diary_is_for_a_person_and_other_parts_too(clinic: Clinic) -> None:
    clinic.database.engine.dispose()
    clinic.diary.find = _broken  # type: ignore[method-assign]
    call = Ringing(clinic)("book me in friday")
    assert call.said() == ["fault.person"] and call.of(Transfer)
    assert Ringing(clinic)(Fault("hearing")).said() == ["fault.person"]
    mute = Ringing(clinic)(Fault("voice"))
    assert mute.said() == [] and mute.of(Transfer)


def test_an_emergency_is_answered_while_the_database_is_locked(clinic: Clinic) -> None:
    clinic.requests.ask = _broken  # type: ignore[method-assign]
    call = Ringing(clinic)("i've got chest pain")
    assert call.said() == ["say.e000"] and call.state is State.EMERGENCY


def test_a_part_that_never_answers_counts_as_failed(clinic: Clinic) -> None:
    call = Call(clinic.setting())
    call.receive(Connected())
    call.receive(Heard("book me in"))
    assert call.state is State.WORKING
    for _ in range(4):
        actions = call.receive(Silence(3))
    assert [action.prompt for action in actions if isinstance(action, Say)] == ["book.when"]


def test_a_time_that_somebody_else_took_is_offered_anew(clinic: Clinic) -> None:
    call = Ringing(clinic)("can i get in with doctor nguyen on thursday")
    other = Ringing(clinic)("can i get in with doctor nguyen on thursday", "the first")
    assert other.said() == ["identity.name_birth"]
    assert call("the first").said() == ["book.gone", "offer.two"]


def test_hanging_up_gives_a_held_time_back(clinic: Clinic) -> None:
    call = clinic.ring("can i get in with doctor nguyen on thursday", "the first")
    assert call.ended == "caller"
    again = Ringing(clinic)("can i get in with doctor nguyen on thursday", "the first")
    assert again.said() == ["identity.name_birth"]


def test_the_rest_of_a_turn_is_whispered_to_the_person(clinic: Clinic) -> None:
    call = Ringing(clinic, lambda text: meaning("speak_to_nurse", "results"))("nurse please and my results")
    assert call.of(Transfer)[0].summary == "Automated line. Talking to the nurse. Patient not identified. Also wants results."
    assert call(Transferred()).of(Note)[-1].facts["reason"] == "a person took the call" and call.state is State.ENDED


def test_a_professional_heard_badly_gets_a_person_without_being_asked_again(clinic: Clinic) -> None:
    assert Ringing(clinic, _always("hospital_calling"))(Heard("the ward here", confidence=0.4)).said() == ["lane.professional"]


@pytest.mark.parametrize(
    "intent", ["hospital_calling", "pathology_lab_urgent_result", "pharmacy_calling", "nursing_home", "specialist_rooms", "police_coroner"]
)
def test_professionals_get_a_person_at_once(clinic: Clinic, intent: str) -> None:
    call = Ringing(clinic, _always(intent))("good morning it's me ringing about one of yours")
    assert call.said() == ["lane.professional"] and call.of(Transfer)


def test_everything_that_is_noted_may_stand_in_the_audit_log(clinic: Clinic, tmp_path: Any) -> None:
    log = AuditLog(tmp_path / "audit")
    talks = [("cancel my appointment", *MARY, "no"), ("mumble", Silence(3), Noise(), "book", Pressed("0")), ("i've got chest pain", "help")]
    notes = [action for talk in talks for action in Ringing(clinic)(*talk).actions if isinstance(action, Note)]
    for note in notes:
        log.append(note.event, **note.facts)
    assert log.verify().broken is None
    kept = json.dumps([(note.event, dict(note.facts)) for note in notes])
    assert "chest pain" in kept and "RF01" in kept  # the words that fired a rule are the one thing said that is kept
    assert not any(word in kept.lower() for word in ("mary", "brown", "0491570006", "1962", "mumble"))


def test_every_intent_of_the_catalogue_has_its_way() -> None:
    from bedside.knowledge.intents import catalogue
    from bedside.knowledge.prompts import prompts
    from bedside.knowledge.store import facts
    from bedside.phone.call.scripts import script_named

    sayable = {*prompts(), *(fact.id for fact in facts("approved_texts"))}
    for kind in catalogue().intents:
        if kind.id == "silence":
            continue
        path = path_of(kind.id)
        assert path.script == "person" or script_named(path.script)
        assert {path.prompt, *path.needs.values(), *filter(None, [path.done])} <= sayable
        assert set(path.needs) <= set(kind.slots)


def _always(*intents: str) -> Callable[[str], Understanding]:
    return lambda text: meaning(*intents)


def _broken(*args: object, **kwargs: object) -> Any:
    raise EngineError("the database is locked", "Try again later")


def test_the_clock_of_the_practice_decides_what_today_is(clinic: Clinic) -> None:
    clinic.now = dt.datetime(2026, 11, 23, 23, 30, tzinfo=dt.UTC)  # Tuesday morning in Sydney
    assert "Tomorrow" not in Ringing(clinic)("book me in for today").last[-2].text  # type: ignore[union-attr]


def test_a_caller_who_asks_again_while_something_is_looked_up_does_not_take_the_place_of_the_result(clinic: Clinic) -> None:
    driver = Driver(Call(clinic.setting()), clinic.desk())
    driver.feed(Connected())
    driver.feed(Pressed("1"))
    [act] = [action for action in driver.call.receive(Heard("friday")) if isinstance(action, Act)]
    driver.call.receive(Heard("can you repeat that"))
    assert driver.call.state is State.WORKING
    said = driver.call.receive(Done(act.id, driver.desk.perform(act.id, act.request)))
    assert [action.prompt for action in said if isinstance(action, Say)] == ["offer.two"]
