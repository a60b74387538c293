"""The diary: free times, holds and appointments, as FHIR R4 Schedule, Slot and Appointment in a SQL database.

    find ──▶ Offer ──hold──▶ Hold (120 s) ──book──▶ Appointment ──cancel / move──▶ …

`Diary` is the contract that an adapter to another booking system keeps. `SqlDiary` is the line's own: a slot's row names the one
appointment that it belongs to, and every change of slots happens in one transaction that holds their rows, so that no two calls get the
same time however many processes ask. States are those of FHIR's `$hold` and `$book` (IHE ITI Scheduling): a hold is an appointment
`pending` on slots `busy-tentative`.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sqlalchemy import Connection

from bedside.errors import BedsideError
from bedside.phone import diary_sql as sql
from bedside.phone.database import Database, practitioners, schedules, slots
from bedside.phone.practice import Practice
from bedside.phone.practice_parts import Practitioner
from bedside.workspace.database import AnyRow, seconds, utc_now

HOLD_SECONDS = 120
PART_OF_DAY = {"morning": (0, 12 * 60), "afternoon": (12 * 60, 17 * 60), "evening": (17 * 60, 24 * 60)}
"""Minutes since midnight by the clock on the wall."""
_APART = 3600
"""Seconds between two offers where the diary allows it: "nine or quarter past nine" is hardly a choice."""

_NEVER = 1 << 40

PartOfDay = Literal["morning", "afternoon", "evening"]


class BookingError(BedsideError):
    """What was asked of the diary cannot be done."""


class SlotTakenError(BookingError):
    """Somebody else was faster, or a hold ran out: offer other times."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A free time; nothing is kept yet. `start` has the practice's zone."""

    practitioner: str
    name: str
    schedule: str
    start: dt.datetime
    minutes: int
    type: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A time that is kept for one call until `expires`."""

    id: str
    offer: Offer
    call: str
    expires: dt.datetime


@dataclass(frozen=True, slots=True)
class Appointment:
    """A booked, or formerly booked, time; `status` is FHIR's (`pending`, `booked`, `cancelled`)."""

    id: str
    status: str
    practitioner: str
    name: str
    start: dt.datetime
    minutes: int
    type: str
    patient: str | None
    reason: str | None


class Diary(Protocol):
    """What the line asks of a booking system. Calls block; a failure other than those named is a `BedsideError` with its next step."""

    def find(
        self,
        *,
        type: str,
        window: tuple[dt.datetime, dt.datetime] | None = None,
        practitioner: str | None = None,
        gender: str | None = None,
        language: str | None = None,
        part_of_day: PartOfDay | None = None,
        same_day: bool = False,
        limit: int = 2,
    ) -> list[Offer]:
        """The first free times that fit, an hour apart where possible.

        Args:
            type: id of an appointment type of the practice; gives the length and who may be asked.
            window: first moment, and the moment before which it begins; None: the whole diary.
            practitioner, gender, language: of who is seen; None: any.
            part_of_day: by the clock on the practice's wall.
            same_day: also the times that are kept for callers who have to be seen today.
            limit: at most so many.
        """
        ...

    def hold(self, offer: Offer, call: str) -> Hold:
        """Keep a time for a call. Raises SlotTakenError where it is no longer free."""
        ...

    def release(self, call: str) -> int:
        """Give back what the call holds and has not booked; returns how many times."""
        ...

    def book(self, hold: Hold, patient: str, reason: str, key: str) -> Appointment:
        """Turn a hold into an appointment. The same key again gives the same appointment. Raises SlotTakenError where the hold ran out."""
        ...

    def cancel(self, appointment: str, reason: str, key: str) -> Appointment:
        """Cancel one that has not begun; cancelling it twice is no error."""
        ...

    def move(self, appointment: str, hold: Hold, key: str) -> Appointment:
        """Book the held time for the same patient and cancel the old one, both or neither."""
        ...

    def upcoming(self, patient: str) -> list[Appointment]:
        """A patient's booked appointments that have not begun, the next first."""
        ...


@dataclass(frozen=True, slots=True)
class Seeded:
    """What seeding changed: slots that are new, slots withdrawn because nobody works then now, and booked appointments that clash."""

    added: int
    withdrawn: int
    clashes: tuple[Appointment, ...]


class SqlDiary:
    """A `Diary` in SQLite or PostgreSQL.

    Args:
        database: where its rows are.
        practice: whose diary it is.
        now: the clock.
    """

    def __init__(self, database: Database, practice: Practice, now: Callable[[], dt.datetime] = utc_now) -> None:
        self._database = database
        self._practice = practice
        self._now = now

    def seed(self, first: dt.date | None = None, days: int | None = None) -> Seeded:
        """Open the diary for the practice's sessions, and close what is no longer in them. Repeating it changes nothing.

        Args:
            first: first day; None: today.
            days: number of days; None: the practice's horizon.
        """
        first = first or self._now().astimezone(self._practice.zone).date()
        every = [first + dt.timedelta(days=n) for n in range(days or self._practice.horizon_days)]
        wanted = [row for person in self._practice.practitioners for day in every for row in self._slots_of(person, day)]
        with self._database.writing() as connection:
            ran_out = set(connection.scalars(sql.RAN_OUT, {"now": seconds(self._now())}))
            _cancel(connection, ran_out, "the hold ran out")
            self._insert_people(connection)
            there = self._slots_between(connection, every[0], every[-1])
            new = [row for row in wanted if row["id"] not in there]
            self._database.insert_new(connection, slots, new)
            withdrawn, clashes = self._withdraw(connection, there, {row["id"] for row in wanted})
        return Seeded(len(new), withdrawn, clashes)

    def find(
        self,
        *,
        type: str,
        window: tuple[dt.datetime, dt.datetime] | None = None,
        practitioner: str | None = None,
        gender: str | None = None,
        language: str | None = None,
        part_of_day: PartOfDay | None = None,
        same_day: bool = False,
        limit: int = 2,
    ) -> list[Offer]:
        """See `Diary.find`."""
        kind = self._practice.appointment_type(type)
        now = seconds(self._now())
        soonest = now + self._practice.lead_minutes * 60
        first, before = (max(soonest, seconds(window[0])), seconds(window[1])) if window else (soonest, _NEVER)
        minutes = PART_OF_DAY[part_of_day] if part_of_day else (0, 24 * 60)
        asked: dict[str, Any] = {"before": before, "from_minute": minutes[0], "to_minute": minutes[1], "now": now}
        found: dict[int, AnyRow] = {}
        with self._database.reading() as connection:
            people = _people(connection, kind.roles, practitioner, gender, language)
            asked |= {"schedules": list(people), "length": kind.minutes * 60, "kept": int(same_day)}
            for apart in (_APART, 1):
                start: int | None = first
                while start is not None and len(found) < limit:
                    row = connection.execute(sql.FIRST_FREE, {**asked, "first": start}).first()
                    if row is not None:
                        found.setdefault(row.start, row)
                    start = row.start + apart if row is not None else None
        return [
            Offer(people[row.schedule].id, people[row.schedule].name, row.schedule, self._local(row.start), kind.minutes, type)
            for _, row in sorted(found.items())
        ]

    def hold(self, offer: Offer, call: str) -> Hold:
        """See `Diary.hold`."""
        now, start = self._now(), seconds(offer.start)
        expires = now + dt.timedelta(seconds=HOLD_SECONDS)
        end = start + offer.minutes * 60
        stretch = {"in_schedule": offer.schedule, "first": start, "last": end}
        hold = Hold(str(uuid.uuid4()), offer, call, expires)
        with self._database.writing(durable=False) as connection:
            rows = connection.execute(sql.RUN, stretch).all()
            free = all(row.status == "free" or (row.status == "busy-tentative" and row.held_until <= seconds(now)) for row in rows)
            if not free or sum(row.end - row.start for row in rows) != end - start or start <= seconds(now):
                raise SlotTakenError(f"{offer.name} is no longer free at {offer.start:%H:%M on %d %B %Y}", "Offer other times")
            values = {"id": hold.id, "status": "pending", "practitioner": offer.practitioner, "type": offer.type, "call": call}
            moments = {"start": start, "end": end, "expires": seconds(expires), "created": seconds(now)}
            connection.execute(sql.NEW_APPOINTMENT, {**values, **moments})
            connection.execute(sql.HOLD_SLOTS, {**stretch, "hold": hold.id, "until": seconds(expires)})
        return hold

    def release(self, call: str) -> int:
        """See `Diary.release`."""
        with self._database.writing(durable=False) as connection:
            held = set(connection.scalars(sql.HELD_BY_CALL, {"by_call": call}))
            _cancel(connection, held, "the caller chose another time or hung up")
        return len(held)

    def book(self, hold: Hold, patient: str, reason: str, key: str) -> Appointment:
        """See `Diary.book`."""
        asked = f"book {hold.id} for {patient}"
        with self._database.writing() as connection:
            row = _locked(connection, hold.id)
            if not _already_done(connection, key, asked):
                self._confirm(connection, row, patient, reason)
                connection.execute(sql.DONE, {"key": key, "asked": asked})
            return self._appointment(_locked(connection, hold.id))

    def cancel(self, appointment: str, reason: str, key: str) -> Appointment:
        """See `Diary.cancel`."""
        asked = f"cancel {appointment}"
        with self._database.writing() as connection:
            row = _locked(connection, appointment)
            if not _already_done(connection, key, asked) and row.status != "cancelled":
                self._still_to_come(row)
                _cancel(connection, {appointment}, reason)
                connection.execute(sql.DONE, {"key": key, "asked": asked})
            return self._appointment(_locked(connection, appointment))

    def move(self, appointment: str, hold: Hold, key: str) -> Appointment:
        """See `Diary.move`."""
        asked = f"move {appointment} to {hold.id}"
        with self._database.writing() as connection:
            rows = {name: _locked(connection, name) for name in sorted((appointment, hold.id))}  # one order, so that moves never cross
            old = rows[appointment]
            if not _already_done(connection, key, asked):
                self._still_to_come(old)
                self._confirm(connection, rows[hold.id], old.patient, old.reason)
                _cancel(connection, {appointment}, f"moved to {hold.id}")
                connection.execute(sql.DONE, {"key": key, "asked": asked})
            return self._appointment(_locked(connection, hold.id))

    def upcoming(self, patient: str) -> list[Appointment]:
        """See `Diary.upcoming`."""
        with self._database.reading() as connection:
            rows = connection.execute(sql.UPCOMING, {"of_patient": patient, "now": seconds(self._now())}).all()
        return [self._appointment(row) for row in rows]

    def _local(self, moment: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(moment, self._practice.zone)

    def _appointment(self, row: AnyRow) -> Appointment:
        minutes = (row.end - row.start) // 60
        start = self._local(row.start)
        return Appointment(row.id, row.status, row.practitioner, row.name, start, minutes, row.type, row.patient, row.reason)

    def _confirm(self, connection: Connection, row: AnyRow, patient: str, reason: str | None) -> None:
        """A pending row becomes a booked one, while it has not run out and all its slots are still its own."""
        connection.execute(sql.BUSY, {"which": row.id})
        covered = connection.scalar(sql.COVERED, {"which": row.id})
        if row.status != "pending" or row.expires <= seconds(self._now()) or covered != row.end - row.start:
            raise SlotTakenError(f"the hold {row.id!r} of {row.name} has run out", "Offer the time again, or others")
        connection.execute(sql.BOOKED, {"which": row.id, "for_patient": patient, "because": reason})

    def _still_to_come(self, row: AnyRow) -> None:
        if row.status != "booked" or row.start <= seconds(self._now()):
            state = "has begun" if row.status == "booked" else f"is {row.status}"
            raise BookingError(f"the appointment {row.id!r} {state}", "Look at the patient's coming appointments")

    def _insert_people(self, connection: Connection) -> None:
        people = self._practice.practitioners
        rows = [
            {"id": p.id, "name": p.name, "gender": p.gender, "role": p.role, "languages": list(p.languages), "active": 1} for p in people
        ]
        self._database.insert_new(connection, practitioners, rows)
        for row in rows:
            connection.execute(sql.PERSON, {"which": row["id"], **{f"to_{name}": value for name, value in row.items() if name != "id"}})
        self._database.insert_new(connection, schedules, [{"id": p.id, "practitioner": p.id, "active": 1} for p in people])

    def _slots_of(self, person: Practitioner, day: dt.date) -> Iterator[dict[str, Any]]:
        """The slots of one person's day. Steps are real time, labels the clock on the wall, so that an hour that daylight saving takes
        away has no slots and one that it gives has twice as many."""
        step = self._practice.slot_minutes * 60
        for span in self._practice.sessions_on(person, day):
            first, last = (seconds(self._practice.moment(day, minute)) for minute in span)
            for start in range(first, last - step + 1, step):
                local = self._local(start)
                minute = local.hour * 60 + local.minute
                yield {
                    "id": f"{person.id}.{start}",
                    "schedule": person.id,
                    "start": start,
                    "end": start + step,
                    "day": local.date().isoformat(),
                    "minute": minute,
                    "status": "free",
                    "same_day": int(minute in person.same_day),
                }

    def _slots_between(self, connection: Connection, first: dt.date, last: dt.date) -> dict[str, AnyRow]:
        """The slots of the practice's own people on those days, by id."""
        own = [person.id for person in self._practice.practitioners]
        here = {"schedules": own, "first_day": first.isoformat(), "last_day": last.isoformat()}
        return {row.id: row for row in connection.execute(sql.SLOTS_OF_DAYS, here)}

    def _withdraw(self, connection: Connection, there: dict[str, AnyRow], wanted: set[str]) -> tuple[int, tuple[Appointment, ...]]:
        """Close free slots that are in no session any more, reopen those that are again, and name the appointments that clash."""
        gone = [row.id for row in there.values() if row.id not in wanted and row.status == "free"]
        back = [row.id for row in there.values() if row.id in wanted and row.status == "busy-unavailable"]
        for ids, status in ((gone, "busy-unavailable"), (back, "free")):
            if ids:
                connection.execute(sql.SLOT_STATUS, [{"which": name, "to_status": status} for name in ids])
        clashing = sorted({row.appointment for row in there.values() if row.id not in wanted and row.status == "busy"})
        return len(gone), tuple(self._appointment(_locked(connection, name)) for name in clashing)


def _people(
    connection: Connection, roles: Sequence[str], practitioner: str | None, gender: str | None, language: str | None
) -> dict[str, AnyRow]:
    """Who may be asked, by the id of their schedule."""
    rows = connection.execute(sql.PEOPLE).all()
    return {
        row.schedule: row
        for row in rows
        if row.role in roles
        and practitioner in (None, row.id)
        and gender in (None, row.gender)
        and (language is None or language in row.languages)
    }


def _locked(connection: Connection, appointment: str) -> AnyRow:
    row = connection.execute(sql.LOCKED, {"which": appointment}).first()
    if row is None:
        raise BookingError(f"there is no appointment {appointment!r}", "Look at the patient's coming appointments")
    return row


def _already_done(connection: Connection, key: str, asked: str) -> bool:
    """Whether this very thing was done under that key before."""
    before = connection.scalar(sql.ASKED, {"of_key": key})
    if before not in (None, asked):
        raise BookingError(f"the key {key!r} was used to {before}", "Use a new key for each thing that is asked")
    return before is not None


def _cancel(connection: Connection, ids: set[str], because: str) -> None:
    """Appointments end, and the slots that are still theirs are free."""
    if ids:
        connection.execute(sql.CANCELLED, [{"which": name, "because": because} for name in sorted(ids)])
        connection.execute(sql.FREED, [{"which": name} for name in sorted(ids)])
