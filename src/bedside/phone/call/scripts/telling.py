"""What the line may tell anybody: hours, place, fees, services, doctors. From the practice file, dated tables and approved texts."""

from __future__ import annotations

import datetime as dt

from bedside.phone.call.dialogue import PersonNeededError, Script, Setting, Tell, Wish, ask_yes_no
from bedside.phone.call.paths import path_of
from bedside.phone.call.scripts.booking import book
from bedside.phone.words.dates import aloud_day, days
from bedside.phone.words.people import gender, named
from bedside.phone.words.plain import folded
from bedside.phone.words.times import aloud_time


def tell(setting: Setting, wish: Wish) -> Script[None]:
    """A sentence that needs nothing of the caller."""
    yield Tell(path_of(wish.intent).done)


def hours(setting: Setting, wish: Wish) -> Script[None]:
    """When the practice is open on the day asked about, or today and next; where it is; where to park."""
    practice = setting.practice
    day = next(iter(days(wish.text, setting.today)), setting.today)
    spans = practice.open_spans(day)
    if spans:
        opens, closes = (aloud_time(practice.moment(day, minute).time()) for minute in (spans[0].first, spans[-1].last))
        yield Tell("hours.open", {"day": aloud_day(day, setting.today), "opens": opens, "closes": closes})
    else:
        yield Tell("hours.closed", {"day": aloud_day(day, setting.today)})
        yield from _next_opening(setting)
    yield Tell("hours.place", {"street": practice.address.street, "suburb": practice.address.suburb})
    for words in filter(None, (practice.address.parking, practice.address.access)):
        yield Tell("practice.says", {"words": words.rstrip(".")})


def _next_opening(setting: Setting) -> Script[None]:
    opens = setting.practice.next_opening(setting.now)
    if opens is not None:
        local = opens.astimezone(setting.practice.zone)
        yield Tell("hours.next", {"day": aloud_day(local.date(), setting.today), "opens": aloud_time(local.time())})


def after_hours(setting: Setting, wish: Wish) -> Script[None]:
    """Where to go while the practice is closed."""
    yield Tell(setting.practice.after_hours)


def fee(setting: Setting, wish: Wish) -> Script[None]:
    """The practice's own fee of today; never what Medicare pays, which reception checks."""
    kind = setting.practice.type_for("appt_new", f"{wish.text} {wish.slots.get('service', '')}")
    prices = setting.practice.prices(setting.today)
    if kind.id in prices:
        yield Tell("fee.for", {"what": kind.name})
        yield Tell("fee.quote", {"fee": kind.id})
        yield Tell("unable.medicare")
    else:
        yield Tell("unable.fee")


def bulk_bill(setting: Setting, wish: Wish) -> Script[None]:
    """The practice's policy in one of three honest answers."""
    policy = setting.practice.bulk_billing
    groups = {"groups": " and ".join(group.replace("_", " ") for group in policy.groups)}
    yield Tell(f"bulk_bill.{policy.policy}", groups if policy.groups else {})
    yield Tell("fee.bulk_billing")


def services(setting: Setting, wish: Wish) -> Script[None]:
    """Whether the practice does something; what is on neither list is for a person."""
    said = folded(wish.slots.get("service") or wish.text)
    for prompt, listed in (("services.yes", setting.practice.services), ("services.no", setting.practice.not_offered)):
        for service in listed:
            if _shares_word(said, folded(service)):
                yield Tell(prompt, {"service": service})
                return
    raise PersonNeededError("asks about a service that the practice file does not list")


def new_patients(setting: Setting, wish: Wish) -> Script[None]:
    """Whether the books are open; who wants to join goes on to a person, who registers them."""
    policy = setting.practice.new_patients
    yield Tell(f"new_patients.{policy.policy}")
    if policy.note and policy.policy != "closed":
        yield Tell("practice.says", {"words": policy.note.rstrip(".")})
    if policy.policy != "closed" and (yield from ask_yes_no("new_patients.join")):
        raise PersonNeededError("new patient", prompt="book.new_patient")


def doctors(setting: Setting, wish: Wish) -> Script[None]:
    """Who works here: the one named, those of the gender or language asked for, or all; then an appointment, if wanted."""
    people = setting.practice.practitioners
    wanted = gender(wish.slots.get("gender") or wish.text)
    asked = named(wish.slots.get("practitioner") or wish.text, [person.said for person in people])
    chosen = [person for person in people if person.said in asked] or [person for person in people if wanted in (None, person.gender)]
    if not chosen:
        yield Tell("doctors.none")
        return
    yield Tell("doctors.list", {"names": ", ".join(person.said for person in chosen)})
    if len(chosen) == 1:
        yield from _sessions(setting, chosen[0].id)
    if (yield from ask_yes_no("book.offer")):
        yield from book(setting, Wish("appt_new", "", {"practitioner": chosen[0].said} if len(chosen) == 1 else {}))


def _sessions(setting: Setting, practitioner: str) -> Script[None]:
    """The next day on which somebody sees patients, within the diary's horizon."""
    person = setting.practice.practitioner(practitioner)
    for day in (setting.today + dt.timedelta(days=ahead) for ahead in range(setting.practice.horizon_days)):
        if person and setting.practice.sessions_on(person, day):
            yield Tell("doctors.next", {"name": person.said, "day": aloud_day(day, setting.today)})
            return


def _shares_word(said: str, service: str) -> bool:
    return any(word.rstrip("s") in said for word in service.split() if len(word) > 3)
