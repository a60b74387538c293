"""A practice, as its file describes it: who works there, when, for how long, for how much, and where calls go."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from bedside.errors import BedsideError, KnowledgeError
from bedside.knowledge.intents import catalogue
from bedside.knowledge.protocol import Practice as SpokenPractice
from bedside.knowledge.protocol import Protocol, load_protocol
from bedside.knowledge.store import facts
from bedside.phone.practice_parts import (
    Address,
    AppointmentType,
    BulkBilling,
    Days,
    Holiday,
    IdentityCheck,
    NewPatients,
    Numbers,
    Opening,
    Part,
    PracticeFee,
    Practitioner,
    Recording,
    Sms,
    Span,
    Spans,
    Week,
    Words,
)
from bedside.recipe.yaml_model import Place, read_model
from bedside.safety.medicare.fees import Price

EXAMPLE = "practices/wattle-street.yaml"

_ZONES = {
    "ACT": ("Australia/Sydney", "Australia/Canberra"),
    "NSW": ("Australia/Sydney", "Australia/Broken_Hill", "Australia/Lord_Howe"),
    "NT": ("Australia/Darwin",),
    "QLD": ("Australia/Brisbane", "Australia/Lindeman"),
    "SA": ("Australia/Adelaide",),
    "TAS": ("Australia/Hobart",),
    "VIC": ("Australia/Melbourne",),
    "WA": ("Australia/Perth", "Australia/Eucla"),
}
"""IANA zones of each state: a Queensland practice on Sydney time is an hour out all summer."""
_MOST_CLOSED_DAYS = 60


class PracticeError(BedsideError):
    """A practice file cannot be used."""


class Practice(Part):
    """One practice."""

    name: Words
    """Its name, as it is written and said."""
    state: Literal["ACT", "NSW", "NT", "QLD", "SA", "TAS", "VIC", "WA"]
    """Decides public holidays and which medicines are monitored."""
    timezone: str
    """IANA name, such as `Australia/Sydney`."""
    address: Address
    """Where it is."""
    numbers: Numbers
    """Where calls go."""
    hours: Week
    """When it is open."""
    public_holidays: Spans = ()
    """Hours on public holidays; left out or `closed`: it is closed."""
    extra_holidays: tuple[Holiday, ...] = ()
    """Local holidays, such as a show day."""
    closures: tuple[Days, ...] = ()
    """Other days on which it is closed."""
    after_hours: str = "call.after_hours"
    """Id of the approved text that is said while it is closed."""
    opening: Opening = Opening()
    """How calls begin."""
    slot_minutes: int = Field(default=15, ge=5, le=60)
    """Length of one slot of the diary; appointments take one or more."""
    lead_minutes: int = Field(default=15, ge=0, le=1440)
    """The line offers no appointment that begins sooner than this."""
    horizon_days: int = Field(default=30, ge=1, le=365)
    """The diary is kept open so many days ahead."""
    practitioners: tuple[Practitioner, ...] = Field(min_length=1)
    """Who sees patients."""
    appointment_types: tuple[AppointmentType, ...] = Field(min_length=1)
    """What can be booked; the first is the usual one."""
    services: tuple[Words, ...] = ()
    """What the practice does, as the line says it."""
    not_offered: tuple[Words, ...] = ()
    """What it is asked for and does not do."""
    fees: tuple[PracticeFee, ...] = ()
    """Its own fees, dated."""
    bulk_billing: BulkBilling
    """Its policy."""
    new_patients: NewPatients
    """Whether the books are open."""
    sms: Sms | None = None
    """Text messages; None: none are sent."""
    recording: Recording
    """What is kept of calls."""
    identity: IdentityCheck = IdentityCheck()
    """How callers show who they are."""
    protocol: Path | None = None
    """The practice's own protocol over the built-in knowledge; a relative path starts at this file's folder."""

    @property
    def zone(self) -> ZoneInfo:
        """Its time zone."""
        return ZoneInfo(self.timezone)

    def practitioner(self, practitioner_id: str) -> Practitioner | None:
        """The practitioner of that id."""
        return next((person for person in self.practitioners if person.id == practitioner_id), None)

    def appointment_type(self, type_id: str) -> AppointmentType:
        """The appointment type of that id.

        Raises:
            PracticeError: there is none.
        """
        for kind in self.appointment_types:
            if kind.id == type_id:
                return kind
        raise PracticeError(
            f"{self.name} has no appointment type {type_id!r}", f"Use one of {', '.join(kind.id for kind in self.appointment_types)}"
        )

    def type_for(self, intent: str, reason: str = "") -> AppointmentType:
        """The appointment type for what a caller wants: by words of the reason, else by the intent, else the usual one."""
        said = _plain(reason)
        for kind in self.appointment_types:
            if any(_plain(words) in said for words in kind.reasons):
                return kind
        return next((kind for kind in self.appointment_types if intent in kind.intents), self.appointment_types[0])

    def holiday(self, day: dt.date) -> str | None:
        """The name of the public holiday on `day`."""
        extra = next((holiday.name for holiday in self.extra_holidays if holiday.date == day), None)
        return extra or _state_holidays(self.state, day.year).get(day)

    def open_spans(self, day: dt.date) -> tuple[Span, ...]:
        """When the practice is open on `day`."""
        if any(day in closure for closure in self.closures):
            return ()
        return self.public_holidays if self.holiday(day) else self.hours.on(day)

    def is_open(self, moment: dt.datetime) -> bool:
        """Whether it is open at `moment`, a time with its zone."""
        local = moment.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        return any(span.first <= minute < span.last for span in self.open_spans(local.date()))

    def next_opening(self, moment: dt.datetime) -> dt.datetime | None:
        """When it next opens after `moment`; None: not within sixty days."""
        today = moment.astimezone(self.zone).date()
        for day in (today + dt.timedelta(days=n) for n in range(_MOST_CLOSED_DAYS)):
            for span in self.open_spans(day):
                if (opens := self.moment(day, span.first)) > moment:
                    return opens
        return None

    def sessions_on(self, practitioner: Practitioner, day: dt.date) -> tuple[Span, ...]:
        """When somebody sees patients on `day`: their sessions while the practice is open and they are not away."""
        if any(day in absence for absence in practitioner.absences):
            return ()
        cuts = (session.cut(span) for session in practitioner.sessions.on(day) for span in self.open_spans(day))
        return tuple(cut for cut in cuts if cut)

    def moment(self, day: dt.date, minute: int) -> dt.datetime:
        """The moment at which the clock on the practice's wall shows `minute` (0 to 1440, since midnight) on `day`."""
        wall = dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=minute)
        return wall.replace(tzinfo=self.zone)

    def prices(self, day: dt.date) -> dict[str, Price]:
        """The fee list of `day`, as the check `fee_quote` takes it."""
        return {
            fee.type: Price(fee=fee.fee, concession_fee=fee.concession_fee, item=fee.item, private=fee.private)
            for fee in self.fees
            if fee.holds_on(day)
        }

    def protocol_on(self, day: dt.date) -> Protocol:
        """The practice's protocol with the name, number and fees that approved texts may say on `day`.

        Raises:
            KnowledgeError: its file has faults.
            OSError: its file cannot be read.
        """
        if day not in self._protocols:
            fees = {fee.type: fee.fee for fee in self.fees if fee.holds_on(day)}
            spoken = SpokenPractice(name=self.name, number=re.sub(r"[()-]", " ", self.numbers.main).strip(), fees=fees)
            self._protocols.clear()
            self._protocols[day] = replace(self.overlay, practice=spoken)
        return self._protocols[day]

    @cached_property
    def overlay(self) -> Protocol:
        """The practice's protocol as its file says it; see `protocol_on`."""
        return load_protocol(self.protocol) if self.protocol else Protocol()

    @cached_property
    def _protocols(self) -> dict[dt.date, Protocol]:
        # One day's protocol is one object, since the compiled rules are kept by it.
        return {}


def read_practice(path: Path) -> Practice:
    """Read a practice file.

    Raises:
        PracticeError: the file is missing, no YAML, or has faults, all of which the message lists with their lines; or its protocol cannot
            be used.
    """

    def beside_the_file(data: dict[str, Any]) -> None:
        if isinstance(data.get("protocol"), str):
            data["protocol"] = str(path.parent / data["protocol"])

    try:
        return read_model(
            path,
            Practice,
            PracticeError,
            kind="practice file",
            example=EXAMPLE,
            explained=f"{EXAMPLE} shows every key",
            change=beside_the_file,
            misfits=_misfits,
        )
    except KnowledgeError as error:
        raise PracticeError(f"the protocol of {str(path)!r} cannot be used: {error.problem}", error.next_step) from error
    except OSError as error:
        raise PracticeError(f"the protocol {str(error.filename)!r} cannot be read ({error.strerror})", "Correct `protocol`") from error


def _misfits(practice: Practice) -> Iterator[tuple[Place, str]]:
    """What does not fit together, each with its place in the file."""
    types = [kind.id for kind in practice.appointment_types]
    if practice.timezone not in _ZONES[practice.state]:
        yield ("timezone",), f"{practice.timezone!r} is not of {practice.state}; use {' or '.join(_ZONES[practice.state])}"
    yield from _twice("practitioners", [person.id for person in practice.practitioners])
    yield from _twice("appointment_types", types)
    for number, kind in enumerate(practice.appointment_types):
        yield from _type_misfits(practice, kind, ("appointment_types", number))
    yield from _fee_misfits(practice.fees, types)
    if practice.new_patients.type not in types:
        yield ("new_patients", "type"), f"there is no appointment type {practice.new_patients.type!r}"
    texts = {fact.id for fact in (*facts("approved_texts"), *practice.overlay.added.get("approved_texts", ()))}
    for place, text in ((("opening", "greeting"), practice.opening.greeting), (("after_hours",), practice.after_hours)):
        if text not in texts:
            yield place, f"there is no approved text {text!r}"


def _type_misfits(practice: Practice, kind: AppointmentType, place: Place) -> Iterator[tuple[Place, str]]:
    if kind.minutes % practice.slot_minutes:
        yield (*place, "minutes"), f"{kind.minutes} is no multiple of slot_minutes, which is {practice.slot_minutes}"
    if not any(person.role in kind.roles for person in practice.practitioners):
        yield (*place, "roles"), f"nobody here is {' or '.join(kind.roles)}"
    known = {intent.id for intent in catalogue().intents}
    for name in kind.intents:
        if name not in known:
            yield (
                (*place, "intents"),
                f"there is no intent {name!r}; did you mean {' or '.join(get_close_matches(name, known)) or 'another'}?",
            )


def _fee_misfits(fees: tuple[PracticeFee, ...], types: list[str]) -> Iterator[tuple[Place, str]]:
    for number, fee in enumerate(fees):
        if fee.type not in types:
            yield ("fees", number, "type"), f"there is no appointment type {fee.type!r}"
        for other in fees[:number]:
            if fee.type == other.type and (other.holds_on(fee.valid_from) or fee.holds_on(other.valid_from)):
                yield ("fees", number), f"two fees of {fee.type!r} hold on {max(fee.valid_from, other.valid_from)}"


def _twice(key: str, ids: list[str]) -> Iterator[tuple[Place, str]]:
    for number, name in enumerate(ids):
        if name in ids[:number]:
            yield (key, number, "id"), f"{name!r} stands twice"


def _plain(words: str) -> str:
    """Words in lower case between single spaces, so that one phrase is found whole in another."""
    return " ".join(["", *re.findall(r"[\w']+", words.lower()), ""])


@cache
def _state_holidays(state: str, year: int) -> dict[dt.date, str]:
    from holidays import country_holidays

    return dict(country_holidays("AU", subdiv=state, years=year).items())
