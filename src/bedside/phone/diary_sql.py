"""The diary's SQL, built once: putting a statement together costs more than running it."""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, func, insert, or_, select, update

from bedside.phone.database import appointments, done, practitioners, schedules, slots


def _free(table: FromClause) -> ColumnElement[bool]:
    """A slot that may be offered: free, or held by a hold that has run out; one kept for the same day where `kept` is 1."""
    lapsed = and_(table.c.status == "busy-tentative", table.c.held_until <= bindparam("now"))
    return and_(or_(table.c.status == "free", lapsed), table.c.same_day <= bindparam("kept"))


_run = slots.alias("run")
_end = slots.c.start + bindparam("length")
_within_run = and_(_run.c.schedule == slots.c.schedule, _run.c.start >= slots.c.start, _run.c.start < _end, _run.c.end <= _end)
_covered = select(func.coalesce(func.sum(_run.c.end - _run.c.start), 0)).where(_within_run, _free(_run)).scalar_subquery()

FIRST_FREE = (
    select(slots.c.schedule, slots.c.start)
    .where(
        slots.c.schedule.in_(bindparam("schedules", expanding=True)),
        slots.c.start >= bindparam("first"),
        slots.c.start < bindparam("before"),
        slots.c.minute >= bindparam("from_minute"),
        slots.c.minute < bindparam("to_minute"),
        _free(slots),
        _covered == bindparam("length"),
    )
    .order_by(slots.c.start, slots.c.schedule)
    .limit(1)
)
"""The first slot that begins a free run of `length` seconds on one of the `schedules`."""

PEOPLE = (
    select(practitioners, schedules.c.id.label("schedule"))
    .join_from(practitioners, schedules)
    .where(practitioners.c.active == 1, schedules.c.active == 1)
)
"""Who works here, with their schedules."""

RUN = (
    select(slots)
    .where(slots.c.schedule == bindparam("in_schedule"), slots.c.start >= bindparam("first"), slots.c.end <= bindparam("last"))
    .order_by(slots.c.start)
    .with_for_update()
)
"""The slots of one stretch of a schedule, locked."""

HOLD_SLOTS = (
    update(slots)
    .where(slots.c.schedule == bindparam("in_schedule"), slots.c.start >= bindparam("first"), slots.c.end <= bindparam("last"))
    .values(status="busy-tentative", appointment=bindparam("hold"), held_until=bindparam("until"))
)

NEW_APPOINTMENT = insert(appointments)

APPOINTMENTS = select(appointments, practitioners.c.name).join_from(appointments, practitioners)

LOCKED = APPOINTMENTS.where(appointments.c.id == bindparam("which")).with_for_update(of=appointments)
"""One appointment, locked."""

UPCOMING = APPOINTMENTS.where(
    appointments.c.patient == bindparam("of_patient"), appointments.c.status == "booked", appointments.c.start > bindparam("now")
).order_by(appointments.c.start)

HELD_BY_CALL = (
    select(appointments.c.id).where(appointments.c.call == bindparam("by_call"), appointments.c.status == "pending").with_for_update()
)

RAN_OUT = select(appointments.c.id).where(appointments.c.status == "pending", appointments.c.expires <= bindparam("now")).with_for_update()

BUSY = update(slots).where(slots.c.appointment == bindparam("which")).values(status="busy", held_until=None)

COVERED = select(func.coalesce(func.sum(slots.c.end - slots.c.start), 0)).where(slots.c.appointment == bindparam("which"))
"""Seconds of the slots that belong to an appointment."""

BOOKED = (
    update(appointments)
    .where(appointments.c.id == bindparam("which"))
    .values(status="booked", patient=bindparam("for_patient"), reason=bindparam("because"), expires=None)
)

CANCELLED = (
    update(appointments)
    .where(appointments.c.id == bindparam("which"))
    .values(status="cancelled", cancelled_because=bindparam("because"), expires=None)
)

FREED = update(slots).where(slots.c.appointment == bindparam("which")).values(status="free", appointment=None, held_until=None)

ASKED = select(done.c.asked).where(done.c.key == bindparam("of_key"))

DONE = insert(done)

SLOTS_OF_DAYS = select(slots.c.id, slots.c.status, slots.c.appointment).where(
    slots.c.schedule.in_(bindparam("schedules", expanding=True)), slots.c.day.between(bindparam("first_day"), bindparam("last_day"))
)

SLOT_STATUS = update(slots).where(slots.c.id == bindparam("which")).values(status=bindparam("to_status"))

PERSON = (
    update(practitioners)
    .where(practitioners.c.id == bindparam("which"))
    .values({name: bindparam(f"to_{name}") for name in ("name", "gender", "role", "languages", "active")})
)
