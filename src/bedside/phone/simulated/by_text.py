"""Simulated callers who type: the whole call but its speech, hundreds in a minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

from bedside.phone.call.dialogue import Setting
from bedside.phone.call.text import Transcript, text_call
from bedside.phone.diary import Appointment
from bedside.phone.line import Line
from bedside.phone.simulated.people import HANG_UP, Plan, Talker
from bedside.phone.simulated.scoring import Result, score

_MOST_TURNS = 25


def call_by_text(line: Line, plan: Plan) -> Result:
    """Hold one call, and tell what it came to. The line's voice and ears are not used."""
    call, heard, talker = uuid4().hex, Transcript(), Talker(plan)
    before = prepared(line, plan)
    desk = line.desk(call, plan.caller)
    setting = Setting(line.practice, line.now, plan.caller)
    began = time.perf_counter()
    transcript = text_call(setting, desk, _lines(talker, heard), lambda said: None, release=line.release, transcript=heard)
    seconds = time.perf_counter() - began
    done = score(plan, transcript, before, line.diary, line.requests, call)
    return Result(plan, done, seconds, transcript)


def simulate_by_text(line: Line, plans: Sequence[Plan], progress: Callable[[int, int], None]) -> list[Result]:
    """Hold all calls, one after the other."""
    results = []
    for at, plan in enumerate(plans):
        progress(at, len(plans))
        results.append(call_by_text(line, plan))
    progress(len(plans), len(plans))
    return results


def prepared(line: Line, plan: Plan) -> list[Appointment]:
    """Make the patient known and clear their diary; their coming appointments, which are one where the errand needs one."""
    patient = line.patients.add(plan.persona.patient)
    for old in line.diary.upcoming(patient.id):
        line.diary.cancel(old.id, "before a simulated call", f"clear-{old.id}")
    if plan.errand.before:
        call = uuid4().hex
        kind = next(kind for kind in line.practice.appointment_types if "gp" in kind.roles and kind.line_books)
        for offer in line.diary.find(type=kind.id, practitioner=plan.doctor.id, limit=1):
            line.diary.book(line.diary.hold(offer, call), patient.id, "", call)
    return line.diary.upcoming(patient.id)


def _lines(talker: Talker, heard: Transcript) -> Iterator[str]:
    """What the caller types, each line an answer to what the line has said since the one before."""
    read = 0
    for _ in range(_MOST_TURNS):
        said = [entry for entry in heard.entries[read:] if entry.who == "line"]
        read = len(heard.entries)
        answer = talker.answer(said)
        if answer == HANG_UP:
            return
        yield answer
