"""Appointments that a patient already has: when they are, moving, cancelling, running late."""

from __future__ import annotations

from bedside.phone.call.actions import Cancel, Confirm, Find, Leave, Move, Person, Upcoming
from bedside.phone.call.dialogue import Answer, Do, PersonNeededError, Script, Setting, Tell, Wish, ask, ask_yes_no
from bedside.phone.call.scripts.booking import When, ask_when, choose_time, practitioner_said, said_offer, said_start
from bedside.phone.call.scripts.identity import identify
from bedside.phone.diary import Appointment
from bedside.phone.words.answers import choice
from bedside.phone.words.dates import days

_SAID_AT_ONCE = 2


def move(setting: Setting, wish: Wish) -> Script[None]:
    """Move an appointment: the old time is given up only once the new one is booked."""
    person = yield from identify(setting, wish)
    appointment = yield from _one(setting, person, wish)
    if appointment is None:
        return
    old = {"appointment": said_appointment(setting, appointment)}
    yield Tell("change.found", old)
    when = _new_days(setting, wish, appointment) or (yield from ask_when(setting))
    hold = yield from choose_time(setting, Find(appointment.type, when.days, when.time, appointment.practitioner))
    new = {"offer": said_offer(setting, hold.offer)}
    if not (yield from ask_yes_no("change.confirm", old | new)):
        yield Tell("change.kept", old)
        return
    moved = yield Do(Move(appointment.id, hold))
    if moved is None:
        raise PersonNeededError("the new time was taken while the caller confirmed it")
    yield Tell("change.done", new)
    yield Do(Confirm(person.id, moved, "moved"))


def cancel(setting: Setting, wish: Wish) -> Script[None]:
    """Cancel an appointment, after an explicit yes to the appointment read back."""
    person = yield from identify(setting, wish)
    appointment = yield from _one(setting, person, wish)
    if appointment is None:
        return
    slots = {"appointment": said_appointment(setting, appointment)}
    if not (yield from ask_yes_no("cancel.confirm", slots)):
        yield Tell("change.kept", slots)
        return
    cancelled = yield Do(Cancel(appointment.id))
    yield Tell("cancel.done", slots)
    yield Do(Confirm(person.id, cancelled, "cancelled"))


def tell_when(setting: Setting, wish: Wish) -> Script[None]:
    """Say when the coming appointments are, two at most."""
    person = yield from identify(setting, wish)
    coming = yield Do(Upcoming(person.id))
    if not coming:
        yield Tell("change.none")
    for appointment in coming[:_SAID_AT_ONCE]:
        yield Tell("when.appointment", {"appointment": said_appointment(setting, appointment)})


def late(setting: Setting, wish: Wish) -> Script[None]:
    """Let reception know that somebody is late for today's appointment."""
    person = yield from identify(setting, wish)
    coming = [one for one in (yield Do(Upcoming(person.id))) if one.start.astimezone(setting.practice.zone).date() == setting.today]
    if not coming:
        yield Tell("late.none")
        return
    yield Do(Leave("running_late", person.id, {"time": wish.slots.get("time", "")}, "today"))
    yield Tell("late.done", {"practitioner": practitioner_said(setting, coming[0].practitioner, coming[0].name)})


def said_appointment(setting: Setting, appointment: Appointment) -> str:
    """An appointment as it is said: "Thursday at 2:15 pm with Doctor Nguyen"."""
    return f"{said_start(setting, appointment.start)} with {practitioner_said(setting, appointment.practitioner, appointment.name)}"


def _new_days(setting: Setting, wish: Wish, appointment: Appointment) -> When | None:
    """Days named in the wish beside the appointment's own: "push Thursday back to Friday"."""
    own = appointment.start.astimezone(setting.practice.zone).date()
    other = tuple(day for day in days(wish.text, setting.today) if day != own)
    return When(other) if other else None


def _one(setting: Setting, person: Person, wish: Wish) -> Script[Appointment | None]:
    """The appointment that is meant: the only one, the one on the day named, or the one chosen; None where there is none."""
    coming: list[Appointment] = yield Do(Upcoming(person.id))
    named = set(days(wish.text, setting.today))
    fitting = [one for one in coming if one.start.astimezone(setting.practice.zone).date() in named] or coming
    if not fitting:
        yield Tell("change.none")
        return None
    if len(fitting) == 1:
        return fitting[0]
    two = fitting[:_SAID_AT_ONCE]
    spoken = [said_appointment(setting, one) for one in two]
    heard = [(one.start, practitioner_said(setting, one.practitioner, one.name)) for one in two]

    def read(answer: Answer) -> Appointment | None:
        chosen = choice({"1": "first", "2": "second"}.get(answer.key, answer.text), heard, setting.today)
        return two[chosen.one] if chosen and chosen.one is not None else None

    return (yield from ask("change.which", read, again="change.which", kind="choice", slots={"first": spoken[0], "second": spoken[1]}))
