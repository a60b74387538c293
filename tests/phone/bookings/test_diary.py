"""The diary: what is offered, kept and booked, and that no time is ever given twice."""

from __future__ import annotations

import datetime as dt
import itertools
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest_bookings import EXAMPLE, Clock, add_patients
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from sqlalchemy import select

from bedside.phone.database import Database, appointments, slots
from bedside.phone.diary import Appointment, BookingError, Hold, Offer, SlotTakenError, SqlDiary
from bedside.phone.practice import Practice
from bedside.phone.practice_parts import Days, Practitioner
from bedside.workspace.database import DatabaseError

Part = Callable[..., Practice]


def on(practice: Practice, day: dt.date, clock: str) -> dt.datetime:
    hour, minute = map(int, clock.split(":"))
    return practice.moment(day, hour * 60 + minute)


def book(diary: SqlDiary, key: str = "k", **wishes: object) -> Appointment:
    offer = diary.find(type="standard", **wishes)[0]  # type: ignore[arg-type]
    return diary.book(diary.hold(offer, "call"), "mary", "my knee", key)


def test_the_first_offers_are_soon_free_and_an_hour_apart(diary: SqlDiary, practice: Practice) -> None:
    first, second = diary.find(type="standard")
    assert (first.start, first.name, first.minutes) == (on(practice, dt.date(2026, 11, 23), "09:15"), "Dr Karim Hassan", 15)
    assert second.start - first.start == dt.timedelta(hours=1)


def test_every_wish_of_the_caller_is_kept(diary: SqlDiary, practice: Practice) -> None:
    thursday = dt.date(2026, 11, 26)
    window = (practice.moment(thursday, 0), practice.moment(thursday, 24 * 60))
    (late, later) = diary.find(type="long", practitioner="nguyen", window=window, part_of_day="evening")
    assert late.start == on(practice, thursday, "17:00") and later.start == on(practice, thursday, "18:00")
    assert {offer.practitioner for offer in diary.find(type="standard", gender="male", limit=9)} <= {"hassan", "mackenzie"}
    assert {offer.practitioner for offer in diary.find(type="standard", language="el", limit=3)} == {"papadakis"}
    assert {offer.practitioner for offer in diary.find(type="nurse")} == {"walker"}
    assert diary.find(type="nurse", practitioner="nguyen") == []


def test_times_kept_for_the_same_day_are_offered_only_to_those_who_have_to_be_seen_today(diary: SqlDiary, practice: Practice) -> None:
    at_noon = on(practice, dt.date(2026, 11, 23), "11:45")
    window = (at_noon, at_noon + dt.timedelta(minutes=15))
    assert diary.find(type="standard", practitioner="nguyen", window=window) == []
    assert [offer.start for offer in diary.find(type="standard", practitioner="nguyen", window=window, same_day=True)] == [at_noon]


def test_a_long_appointment_takes_all_its_slots_and_never_spans_a_break(diary: SqlDiary, database: Database, practice: Practice) -> None:
    before_lunch = on(practice, dt.date(2026, 11, 23), "12:15")
    window = (before_lunch, before_lunch + dt.timedelta(minutes=15))
    assert diary.find(type="long", practitioner="nguyen", window=window) == []
    offer = diary.find(type="plan", practitioner="hassan")[0]
    appointment = diary.book(diary.hold(offer, "call"), "mary", "care plan", "k")
    with database.reading() as connection:
        taken = connection.execute(select(slots).where(slots.c.appointment == appointment.id)).all()
    assert [row.status for row in taken] == ["busy"] * 3


def test_a_held_time_is_offered_to_nobody_else_until_the_hold_runs_out(diary: SqlDiary, clock: Clock) -> None:
    offer = diary.find(type="standard")[0]
    hold = diary.hold(offer, "call-1")
    assert diary.find(type="standard", practitioner=offer.practitioner)[0].start != offer.start
    with pytest.raises(SlotTakenError, match="no longer free at 09:15 on 23 November 2026"):
        diary.hold(offer, "call-2")
    clock.advance(seconds=119)
    with pytest.raises(SlotTakenError):
        diary.hold(offer, "call-2")
    clock.advance(seconds=2)
    other = diary.hold(offer, "call-2")
    with pytest.raises(SlotTakenError, match="run out"):
        diary.book(hold, "mary", "my knee", "k1")
    assert diary.book(other, "jo", "my ear", "k2").patient == "jo"


def test_a_caller_who_hangs_up_gives_the_time_back_at_once(diary: SqlDiary) -> None:
    offer = diary.find(type="standard")[0]
    diary.hold(offer, "call-1")
    assert diary.release("call-1") == 1
    assert diary.release("call-1") == 0
    assert diary.find(type="standard")[0] == offer


def test_the_same_key_books_once_and_another_thing_under_it_is_refused(diary: SqlDiary) -> None:
    hold = diary.hold(diary.find(type="standard")[0], "call")
    once = diary.book(hold, "mary", "my knee", "key")
    assert diary.book(hold, "mary", "my knee", "key") == once
    with pytest.raises(BookingError, match="the key 'key' was used to book"):
        diary.cancel(once.id, "changed my mind", "key")
    assert [appointment.id for appointment in diary.upcoming("mary")] == [once.id]


def test_cancelling_frees_the_time_and_may_be_said_twice(diary: SqlDiary) -> None:
    booked = book(diary)
    for key in ("c1", "c1", "c2"):
        assert diary.cancel(booked.id, "better now", key).status == "cancelled"
    assert diary.upcoming("mary") == []
    assert diary.find(type="standard")[0].start == booked.start


def test_moving_keeps_the_patient_and_the_reason_and_frees_the_old_time(diary: SqlDiary) -> None:
    old = book(diary)
    hold = diary.hold(diary.find(type="standard", practitioner="okafor")[0], "call")
    new = diary.move(old.id, hold, "m")
    assert diary.move(old.id, hold, "m") == new
    assert (new.patient, new.reason, new.practitioner) == ("mary", "my knee", "okafor")
    assert diary.upcoming("mary") == [new]
    assert diary.find(type="standard")[0].start == old.start


def test_a_move_onto_a_hold_that_ran_out_leaves_the_old_appointment(diary: SqlDiary, clock: Clock) -> None:
    old = book(diary, practitioner="okafor")
    hold = diary.hold(diary.find(type="standard")[0], "call")
    clock.advance(seconds=121)
    with pytest.raises(SlotTakenError):
        diary.move(old.id, hold, "m")
    assert diary.upcoming("mary") == [old]


def test_what_has_begun_is_not_cancelled_by_the_line(diary: SqlDiary, clock: Clock) -> None:
    booked = book(diary)
    clock.advance(hours=1)
    with pytest.raises(BookingError, match="has begun"):
        diary.cancel(booked.id, "late", "c")
    with pytest.raises(BookingError, match="there is no appointment 'nothing'"):
        diary.cancel("nothing", "late", "d")


def test_an_unknown_patient_is_a_clear_error_and_books_nothing(diary: SqlDiary) -> None:
    hold = diary.hold(diary.find(type="standard")[0], "call")
    with pytest.raises(DatabaseError, match="no such row to refer to"):
        diary.book(hold, "nobody", "my knee", "k")
    assert diary.book(hold, "mary", "my knee", "k").status == "booked"


def test_seeding_again_adds_nothing_and_a_new_absence_names_what_clashes(
    diary: SqlDiary, database: Database, practice: Practice, clock: Clock
) -> None:
    assert diary.seed() == type(diary.seed())(0, 0, ())
    booked = book(diary, practitioner="okafor")
    away = practice.practitioner("okafor")
    assert away is not None
    leave = Days(first=booked.start.date(), last=booked.start.date())
    people = tuple(p.model_copy(update={"absences": (leave,)}) if p is away else p for p in practice.practitioners)
    changed = SqlDiary(database, practice.model_copy(update={"practitioners": people}), clock)
    seeded = changed.seed()
    assert seeded.clashes == (booked,) and seeded.withdrawn > 20 and seeded.added == 0
    assert changed.find(type="standard", practitioner="okafor")[0].start.date() > booked.start.date()
    assert diary.seed().clashes == ()
    assert diary.find(type="standard", practitioner="okafor")[0].start.date() == booked.start.date()


@pytest.mark.parametrize(
    ("state", "zone", "day", "hours_of_slots"),
    [
        ("NSW", "Australia/Sydney", dt.date(2026, 10, 4), 23),
        ("NSW", "Australia/Sydney", dt.date(2027, 4, 4), 25),
        ("QLD", "Australia/Brisbane", dt.date(2026, 10, 4), 24),
    ],
)
def test_a_night_practice_has_the_hours_that_daylight_saving_leaves(
    tmp_path: Path, practice: Practice, state: str, zone: str, day: dt.date, hours_of_slots: int
) -> None:
    always = dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), "00:00-24:00")
    night = Practitioner.model_validate({"id": "night", "name": "Dr Night", "gender": "other", "sessions": always})
    changes = {"state": state, "timezone": zone, "practitioners": (night,), "hours": night.sessions, "extra_holidays": (), "closures": ()}
    database = Database(tmp_path / "night.db")
    open_all_hours = practice.model_copy(update={**changes, "public_holidays": night.sessions.mon})
    SqlDiary(database, open_all_hours, lambda: dt.datetime.combine(day, dt.time(), dt.UTC)).seed(day, 1)
    with database.reading() as connection:
        rows = connection.execute(select(slots).order_by(slots.c.start)).all()
    assert len(rows) == hours_of_slots * 4
    assert all(one.end == other.start for one, other in itertools.pairwise(rows))


def test_nobody_is_booked_on_a_public_holiday_or_while_the_practice_is_closed(diary: SqlDiary, practice: Practice, clock: Clock) -> None:
    diary.seed(dt.date(2026, 12, 20), 20)
    offers = diary.find(type="standard", window=(practice.moment(dt.date(2026, 12, 24), 0), practice.moment(dt.date(2027, 1, 10), 0)))
    assert offers[0].start.date() == dt.date(2027, 1, 4)


def rush(diary_of: Callable[[], SqlDiary], callers: int, wanted: int) -> list[Appointment]:
    """Callers who all want the next time, each until they have `wanted` appointments."""
    got: list[Appointment] = []

    def caller(number: int) -> None:
        diary, mine, tries = diary_of(), 0, 0
        while mine < wanted:
            tries += 1
            offer = diary.find(type="long" if number % 2 else "standard", limit=1)[0]
            try:
                got.append(diary.book(diary.hold(offer, f"call-{number}"), "mary", "knee", f"{number}-{mine}"))
                mine += 1
            except SlotTakenError:
                assert tries < 500

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def assert_no_time_is_given_twice(database: Database) -> None:
    with database.reading() as connection:
        booked = connection.execute(select(appointments).where(appointments.c.status == "booked").order_by(appointments.c.start)).all()
        busy = connection.execute(select(slots.c.appointment, slots.c.start, slots.c.end).where(slots.c.status == "busy")).all()
    for practitioner in {row.practitioner for row in booked}:
        theirs = [row for row in booked if row.practitioner == practitioner]
        assert all(one.end <= other.start for one, other in itertools.pairwise(theirs))
    seconds = {row.id: sum(slot.end - slot.start for slot in busy if slot.appointment == row.id) for row in booked}
    assert all(seconds[row.id] == row.end - row.start for row in booked)
    assert {row.appointment for row in busy} == set(seconds)


def test_twelve_callers_at_once_never_get_the_same_time(diary: SqlDiary, database: Database) -> None:
    got = rush(lambda: diary, callers=12, wanted=3)
    assert len({appointment.id for appointment in got}) == 36
    assert_no_time_is_given_twice(database)


HAMMER = """
import datetime as dt, sys
from pathlib import Path
from bedside.phone.database import Database
from bedside.phone.diary import SlotTakenError, SqlDiary
from bedside.phone.practice import read_practice
url, practice, number, day = sys.argv[1], read_practice(Path(sys.argv[2])), sys.argv[3], dt.date.fromisoformat(sys.argv[4])
diary = SqlDiary(Database(url), practice)
window = practice.moment(day, 0), practice.moment(day, 1440)
print("ready", flush=True)
sys.stdin.readline()
while offers := diary.find(type="standard", window=window, limit=1):
    try:
        hold = diary.hold(offers[0], f"call-{number}")
        print(diary.book(hold, "mary", "knee", hold.id).id)
    except SlotTakenError:
        pass
"""


def hammer(url: str, day: dt.date, example: Path, processes: int = 8) -> list[str]:
    """Processes that book one whole day empty, all at once; the ids that they were given."""
    command = [sys.executable, "-c", HAMMER, url, str(example)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([*command, str(n), day.isoformat()], **pipes) for n in range(processes)]  # type: ignore[call-overload]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=400)[0] for process in running]
    assert all(process.returncode == 0 for process in running)
    return [line for text in said for line in text.splitlines()]


def open_diary_of_next_week(database: Database, practice: Practice) -> tuple[dt.date, int]:
    """A diary by the real clock; a Monday of it, and how many standard appointments that day has."""
    today = dt.datetime.now(practice.zone).date()
    monday = today + dt.timedelta(days=14 - today.weekday())
    SqlDiary(database, practice).seed(monday, 1)
    bookable = slots.c.same_day == 0, slots.c.schedule != "walker"
    with database.reading() as connection:
        return monday, len(connection.execute(select(slots.c.id).where(*bookable)).all())


@pytest.mark.slow
def test_eight_processes_book_a_day_empty_and_every_time_is_given_once(database: Database, practice: Practice) -> None:
    always_open = practice.model_copy(update={"closures": ()})
    monday, bookable = open_diary_of_next_week(database, always_open)
    got = hammer(database.url.render_as_string(hide_password=False), monday, EXAMPLE)
    assert len(got) == len(set(got)) == bookable
    assert_no_time_is_given_twice(database)


@pytest.mark.slow
def test_postgresql_keeps_the_same_contract_under_eight_processes(postgres: str, practice: Practice) -> None:
    database = Database(postgres)
    add_patients(database)
    monday, bookable = open_diary_of_next_week(database, practice)
    got = hammer(postgres, monday, EXAMPLE)
    assert len(got) == len(set(got)) == bookable
    assert_no_time_is_given_twice(database)
    clock = Clock()
    diary = SqlDiary(database, practice, clock)
    diary.seed()
    old = book(diary, key="pg")
    hold = diary.hold(diary.find(type="long")[0], "call")
    assert diary.move(old.id, hold, "move").patient == "mary"
    assert diary.seed().added == 0
    offer = diary.find(type="standard")[0]
    lost = diary.hold(offer, "call-1")
    clock.advance(seconds=121)
    diary.hold(offer, "call-2")
    with pytest.raises(SlotTakenError):
        diary.book(lost, "jo", "x", "lost")
    assert diary.release("call-2") == 1
    rush(lambda: diary, callers=8, wanted=3)
    assert_no_time_is_given_twice(database)
    database.close()


def test_a_database_that_another_program_holds_is_named(
    database: Database, diary: SqlDiary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bedside.workspace.database.LOCK_SECONDS", 0)
    impatient = SqlDiary(Database(tmp_path / "clinic.db"), diary._practice, diary._now)
    offer = diary.find(type="standard")[0]
    holder = sqlite3.connect(tmp_path / "clinic.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert impatient.find(type="standard")[0] == offer, "readers go on"
    with pytest.raises(DatabaseError, match="held by another program"):
        impatient.hold(offer, "call")
    holder.execute("ROLLBACK")
    assert impatient.hold(offer, "call").offer == offer


def test_a_full_disk_is_named_and_keeps_nothing_of_the_change(database: Database, practice: Practice, clock: Clock) -> None:
    small = SqlDiary(database, practice, clock)
    small.seed(days=3)
    with database.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        before = len(connection.execute(select(slots.c.id)).all())
    database.close()
    with database.writing() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(DatabaseError, match=r"the disk of .* is full"):
        small.seed(days=60)
    with database.reading() as connection:
        assert len(connection.execute(select(slots.c.id)).all()) == before


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+pg8000://bedside:secret@127.0.0.1:1/none", "cannot be used"),
        ("nosuchdialect://bedside:secret@x", "is no kind that is known"),
        ("/proc/nothing/here.db", "cannot be made"),
    ],
)
def test_a_database_that_is_not_there_is_a_clear_error_without_its_password(url: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "clinic.db").write_bytes(b"this is a letter, not a database" * 99)
    with pytest.raises(DatabaseError, match="is damaged"):
        Database(tmp_path / "clinic.db")


class Calls(RuleBasedStateMachine):
    """Any order of finding, holding, booking, moving, cancelling, hanging up and waiting keeps the diary whole."""

    holds: Bundle[tuple[Hold, str]] = Bundle("holds")
    booked: Bundle[Appointment] = Bundle("booked")

    @initialize()
    def open(self) -> None:
        self.clock = Clock()
        file = CALLS_FOLDER / f"{uuid.uuid4()}.db"
        shutil.copy(CALLS_FOLDER / "seeded.db", file)
        self.database = Database(file)
        self.diary = SqlDiary(self.database, CALLS_PRACTICE, self.clock)
        self.number = 0

    @rule(target=holds, kind=st.sampled_from(["standard", "long", "plan"]), call=st.sampled_from("abc"), which=st.integers(0, 3))
    def hold(self, kind: str, call: str, which: int) -> object:
        offers: list[Offer] = self.diary.find(type=kind, limit=4)
        return (self.diary.hold(offers[which % len(offers)], call), call) if offers else multiple()

    @rule(target=booked, hold=consumes(holds), patient=st.sampled_from(["mary", "jo"]))
    def book(self, hold: tuple[Hold, str], patient: str) -> object:
        self.number += 1
        try:
            return self.diary.book(hold[0], patient, "knee", f"b{self.number}")
        except SlotTakenError:
            return multiple()

    @rule(old=consumes(booked), hold=consumes(holds), target=booked)
    def move(self, old: Appointment, hold: tuple[Hold, str]) -> object:
        self.number += 1
        try:
            return self.diary.move(old.id, hold[0], f"m{self.number}")
        except SlotTakenError:
            return old
        except BookingError:
            return multiple()

    @rule(old=booked)
    def cancel(self, old: Appointment) -> None:
        self.number += 1
        try:
            assert self.diary.cancel(old.id, "x", f"c{self.number}").status == "cancelled"
        except BookingError as error:
            assert "has begun" in error.problem

    @rule(call=st.sampled_from("abc"))
    def hang_up(self, call: str) -> None:
        self.diary.release(call)

    @rule(seconds=st.sampled_from([30, 130, 3600]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    @invariant()
    def whole(self) -> None:
        if hasattr(self, "database"):
            assert_no_time_is_given_twice(self.database)

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()


@pytest.fixture(scope="module", autouse=True)
def _calls_folder(tmp_path_factory: pytest.TempPathFactory, practice: Practice) -> None:
    global CALLS_FOLDER, CALLS_PRACTICE
    CALLS_FOLDER, CALLS_PRACTICE = tmp_path_factory.mktemp("calls"), practice
    seeded = Database(CALLS_FOLDER / "seeded.db")
    add_patients(seeded)
    SqlDiary(seeded, practice, Clock()).seed(days=1)
    seeded.close()


CALLS_FOLDER: Path
CALLS_PRACTICE: Practice

TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=10, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
def test_finding_holding_and_booking_costs_little_with_thirty_days_of_ten_doctors(tmp_path: Path, practice: Practice, clock: Clock) -> None:
    week = dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), "08:00-12:00, 13:00-17:00")
    person = {"gender": "female", "sessions": week}
    doctors = tuple(Practitioner.model_validate({"id": f"d{n}", "name": f"Dr Number {n}", **person}) for n in range(10))
    database = Database(tmp_path / "large.db")
    add_patients(database)
    diary = SqlDiary(database, practice.model_copy(update={"practitioners": doctors}), clock)
    diary.seed(days=30)
    costs = []
    for number in range(200):
        began = time.thread_time()  # the disk's share is fsync, which other programs of the machine slow down
        book(diary, key=str(number))
        costs.append(time.thread_time() - began)
    assert sorted(costs)[190] < 0.02
