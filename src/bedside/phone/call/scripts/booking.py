"""A new appointment: offer two times, keep the chosen one, find out who it is for, confirm, book."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from bedside.phone.call.actions import Book, Confirm, Find, Keep
from bedside.phone.call.dialogue import Answer, Do, PersonNeededError, Script, Setting, Tell, Wish, ask, ask_yes_no
from bedside.phone.call.scripts.identity import identify
from bedside.phone.diary import Hold, Offer
from bedside.phone.words.answers import choice
from bedside.phone.words.dates import Days, aloud_day, days
from bedside.phone.words.people import gender, named
from bedside.phone.words.plain import folded, phrases
from bedside.phone.words.times import TimeOfDay, aloud_time, time_of_day

_ROUNDS = 3
"""Times that are offered before a person takes over."""


@dataclass(frozen=True, slots=True)
class When:
    """Days and time of day that a caller asks for; empty and None: any."""

    days: Days = ()
    time: TimeOfDay | None = None


def book(setting: Setting, wish: Wish) -> Script[None]:
    """Book an appointment of the type that the wish asks for."""
    kind = setting.practice.type_for(wish.intent, f"{wish.text} {wish.slots.get('length', '')}")
    if not kind.line_books:
        raise PersonNeededError(f"staff book {kind.name}")
    if is_new_patient(wish):
        raise PersonNeededError("new patient", prompt="book.new_patient")
    practitioner = yield from choose_practitioner(setting, wish)
    when = _said_when(setting, wish)
    if when is None:
        when = yield from ask_when(setting)
    wanted = Find(kind.id, when.days, when.time, practitioner, gender(wish.slots.get("gender", "")), wish.same_day)
    hold = yield from choose_time(setting, wanted)
    yield from _confirm(setting, wish, hold, wanted)


def _said_when(setting: Setting, wish: Wish) -> When | None:
    """When the wish says: by its own slots where they can be read, since a turn may tell of several days."""
    if wish.same_day:
        return When((setting.today,))
    return read_when(setting, f"{wish.slots.get('date', '')} {wish.slots.get('time', '')}") or read_when(setting, wish.text)


def read_when(setting: Setting, text: str) -> When | None:
    """The days and time of day that words ask for; None where they say nothing of either."""
    found, time = days(text, setting.today), time_of_day(text)
    return When(found, time) if found or time else None


def ask_when(setting: Setting) -> Script[When]:
    """Ask for a day."""
    return (yield from ask("book.when", lambda answer: read_when(setting, answer.text), again="book.when_again", kind="day"))


def choose_practitioner(setting: Setting, wish: Wish) -> Script[str | None]:
    """The id of the practitioner named; asked for only where the name fits several. None: anybody."""
    people = {person.said: person for person in setting.practice.practitioners}
    also = {person.said: (person.name, *person.also) for person in setting.practice.practitioners}
    found = named(wish.slots.get("practitioner") or wish.text, list(people), also)
    if len(found) > 1:
        slots = {"first": found[0], "second": found[1]}
        found = yield from ask("book.which", lambda told: named(told.text, found, also)[:1] or None, again="book.which", slots=slots)
    elif not found and wish.slots.get("practitioner") and phrases("people.yaml", "titles").search(folded(wish.slots["practitioner"])):
        yield Tell("book.unknown_practitioner")
    return people[found[0]].id if found else None


def choose_time(setting: Setting, wanted: Find) -> Script[Hold]:
    """Offer free times until one is chosen and kept.

    Raises:
        PersonNeededError: nothing is free, or nothing suits.
    """
    for _ in range(_ROUNDS):
        offers = yield Do(wanted)
        if not offers:
            wanted = yield from _widened(wanted)
            continue
        chosen = yield from _pick(setting, offers)
        if isinstance(chosen, When):
            wanted = replace(wanted, days=chosen.days, time=chosen.time)
            continue
        hold = yield Do(Keep(chosen))
        if hold is not None:
            return hold  # type: ignore[no-any-return]
        yield Tell("book.gone")
    raise PersonNeededError("no offered time suits")


def _widened(wanted: Find) -> Script[Find]:
    """What to look for when nothing is free; today is never widened for somebody who has to be seen today."""
    if wanted.same_day:
        raise PersonNeededError("has to be seen today and no time is free", to="nurse")
    if not wanted.days and not wanted.time and not wanted.practitioner:
        raise PersonNeededError("no time is free")
    yield Tell("book.nothing_then")
    anybody = not wanted.days and not wanted.time
    return replace(wanted, days=(), time=None, practitioner=None if anybody else wanted.practitioner)


def _pick(setting: Setting, offers: list[Offer]) -> Script[Offer | When]:
    """One of the offers, or the other time that is asked for instead."""
    spoken = [said_offer(setting, offer) for offer in offers]
    prompt = "offer.two" if len(spoken) > 1 else "offer.one"
    slots = dict(zip(("first", "second"), spoken, strict=False))

    def read(answer: Answer) -> Offer | When | None:
        if answer.key:
            return offers[int(answer.key) - 1] if answer.key in ("1", "2")[: len(offers)] else None
        heard = [(offer.start, practitioner_said(setting, offer.practitioner, offer.name)) for offer in offers]
        chosen = choice(answer.text, heard, setting.today)
        if chosen and chosen.one is not None:
            return offers[chosen.one]
        other = read_when(setting, answer.text)
        if chosen is not None and chosen.fitting and other is None:
            return None
        return other or (When() if chosen is not None else None)

    asked: Script[Offer | When] = ask(prompt, read, again=f"{prompt}_again", kind="choice", slots=slots)
    picked = yield from asked
    if picked == When():
        picked = yield from ask_when(setting)
    return picked


def said_offer(setting: Setting, offer: Offer) -> str:
    """A free time as it is said: "Thursday at 2:15 pm with Doctor Nguyen"."""
    return f"{said_start(setting, offer.start)} with {practitioner_said(setting, offer.practitioner, offer.name)}"


def said_start(setting: Setting, start: dt.datetime) -> str:
    """Day and time as they are said."""
    moment = start.astimezone(setting.practice.zone)
    return f"{aloud_day(moment.date(), setting.today)} at {aloud_time(moment.time())}"


def practitioner_said(setting: Setting, practitioner: str, name: str) -> str:
    """A practitioner's name as it is said; the diary's own where the practice file no longer has them."""
    person = setting.practice.practitioner(practitioner)
    return person.said if person else name


def _confirm(setting: Setting, wish: Wish, hold: Hold, wanted: Find) -> Script[None]:
    """Identity, one confirmation, the booking; a hold that ran out meanwhile is offered anew."""
    for _ in range(2):
        person = yield from identify(setting, wish)
        slots = {"offer": said_offer(setting, hold.offer), "name": person.name}
        if not (yield from ask_yes_no("book.confirm", slots)):
            yield Tell("book.not_booked")
            return
        appointment = yield Do(Book(hold, person.id, wish.slots.get("reason", "")))
        if appointment is not None:
            yield Tell("book.done", slots)
            yield Do(Confirm(person.id, appointment, "booked"))
            return
        yield Tell("book.gone")
        hold = yield from choose_time(setting, wanted)
    raise PersonNeededError("the time was taken twice")


def is_new_patient(wish: Wish) -> bool:
    """Whether the caller says that they have not been here before."""
    return bool(phrases("people.yaml", "new_patient").search(folded(wish.slots.get("patient_status", ""))))
