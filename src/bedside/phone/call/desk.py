"""The desk: carries out a call's requests with the model and the practice's systems. Its calls block."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bedside.engine.understanding import Understanding
from bedside.errors import BedsideError
from bedside.phone.call.actions import (
    Book,
    Cancel,
    Confirm,
    Find,
    Identify,
    Keep,
    Leave,
    Move,
    Person,
    Request,
    ResultsOf,
    Understand,
    Upcoming,
)
from bedside.phone.diary import Appointment, Diary, Offer, SlotTakenError
from bedside.phone.outbox import Message, Outbox
from bedside.phone.patients import Claim, Patients
from bedside.phone.practice import Practice
from bedside.phone.requests import Requests
from bedside.phone.words.dates import spans
from bedside.phone.words.times import TimeOfDay

log = logging.getLogger(__name__)

OFFERS = 2
"""Offers said at once; more cannot be kept in mind by ear (project source book 5.3)."""
_LOOKED_AT = 40
"""Free times of a span of days among which the nearest to a wished time are chosen."""


@dataclass(slots=True)
class Desk:
    """One call's desk.

    Attributes:
        practice: whose line it is.
        understand: what a turn means; a model's `classify`, or `understand_by_words`.
        diary, patients, requests, outbox: the practice's systems.
        call: the call's id; what it holds in the diary is given back by `close`.
        caller: the calling number.
    """

    practice: Practice
    understand: Callable[[str], Understanding]
    diary: Diary
    patients: Patients
    requests: Requests
    outbox: Outbox
    call: str
    caller: str = ""

    def perform(self, number: int, request: Request) -> Any:
        """The result of a request, as its class tells.

        Args:
            number: of the act within the call; with the call's id the key under which something is done once.

        Raises:
            BedsideError: the model or a system failed.
        """
        key = f"{self.call}/{number}"
        try:
            match request:
                case Understand(text):
                    return self.understand(text)
                case Find():
                    return self._find(request)
                case Keep(offer):
                    return self.diary.hold(offer, self.call)
                case Book(hold, patient, reason):
                    return self.diary.book(hold, patient, reason, key)
                case Move(appointment, hold):
                    return self.diary.move(appointment, hold, key)
                case Cancel(appointment):
                    return self.diary.cancel(appointment, "the patient cancelled by telephone", key)
                case Upcoming(patient):
                    return self.diary.upcoming(patient)
                case Identify(claim):
                    return self._identify(claim)
                case ResultsOf(patient, test):
                    return self.requests.result_state(patient, test)
                case Leave(kind, patient, slots, priority, rules):
                    asked = self.requests.ask
                    return asked(kind, slots, call=self.call, key=key, patient=patient, caller=self.caller, priority=priority, rules=rules)
                case Confirm(patient, appointment, change):
                    return self._confirm(patient, appointment, change)
        except SlotTakenError:
            return None

    def close(self) -> None:
        """Give back times that the call holds and did not book; where the diary fails they run out by themselves."""
        try:
            self.diary.release(self.call)
        except BedsideError as error:
            log.warning("call %s: %s", self.call, error)

    def _identify(self, claim: Claim) -> Person | None:
        found = self.patients.identify(claim, self.call, self.caller).patient
        return Person(found.id, f"{found.given} {found.family}") if found else None

    def _confirm(self, patient: str, appointment: Appointment, change: str) -> Message | None:
        """A text message; None for a patient who has no mobile or wants none, and for a practice that sends none."""
        known = self.patients.get(patient)
        if known is None or self.practice.sms is None or not known.sms or not known.mobile:
            return None
        return self.outbox.put(f"sms.{change}", known, f"{appointment.id}/{change}", appointment.start)

    def _find(self, wanted: Find) -> list[Offer]:
        exact = wanted.time is not None and (wanted.time.at or wanted.time.after or wanted.time.before)
        windows: list[tuple[dt.datetime, dt.datetime] | None] = [self._window(*span) for span in spans(wanted.days)]
        found: list[Offer] = []
        for window in windows or [None]:
            found += self.diary.find(
                type=wanted.type,
                window=window,
                practitioner=wanted.practitioner,
                gender=wanted.gender,
                part_of_day=wanted.time.part if wanted.time else None,
                same_day=wanted.same_day,
                limit=_LOOKED_AT if exact else OFFERS,
            )
            if len(found) >= OFFERS and not exact:
                break
        return _nearest(sorted(found, key=lambda offer: offer.start), wanted.time)

    def _window(self, first: dt.date, last: dt.date) -> tuple[dt.datetime, dt.datetime]:
        return self.practice.moment(first, 0), self.practice.moment(last + dt.timedelta(days=1), 0)


def _nearest(offers: list[Offer], time: TimeOfDay | None) -> list[Offer]:
    """The two offers that fit best: the first ones, or those nearest to an exact time, the nearest first."""
    fitting = [offer for offer in offers if time is None or time.fits(offer.start.time())]
    if time is not None and time.at is not None:
        wished = time.at.hour * 60 + time.at.minute
        fitting.sort(key=lambda offer: (abs(offer.start.hour * 60 + offer.start.minute - wished), offer.start))
    return fitting[:OFFERS]
