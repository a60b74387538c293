"""Requests for staff: the line's policies hold, nothing is lost, and results are a state only."""

from __future__ import annotations

import pytest
from conftest_bookings import Clock

from bedside.knowledge.intents import catalogue
from bedside.phone.database import Database
from bedside.phone.practice import Practice
from bedside.phone.requests import RequestError, Requests, kinds
from bedside.workspace.database import DatabaseError


@pytest.fixture
def desk(database: Database, practice: Practice, clock: Clock) -> Requests:
    return Requests(database, practice, clock)


def ask(desk: Requests, kind: str, key: str = "k", **slots: str):  # type: ignore[no-untyped-def]
    return desk.ask(kind, slots, call="call", key=key, patient="mary", caller="0491 570 006")


def test_every_intent_that_ends_as_a_request_has_a_kind() -> None:
    taken = {intent.id for intent in catalogue().intents if intent.self_service == "request"}
    assert taken <= set(kinds())


@pytest.mark.parametrize(
    ("medicine", "kind", "rules", "priority"),
    [
        ("coversyl", "script_repeat", (), "routine"),
        ("valium", "script_monitored", ("M-1",), "routine"),
        ("coversyl; endone", "script_monitored", ("M-1",), "routine"),
        ("eliquis", "script_repeat", ("M-2",), "today"),
        ("insulin", "script_repeat", ("M-2",), "today"),
    ],
)
def test_monitored_and_critical_medicines_are_told_apart(
    desk: Requests, medicine: str, kind: str, rules: tuple[str, ...], priority: str
) -> None:
    left = ask(desk, "script_repeat", medicine=medicine)
    assert (left.kind, left.rules, left.priority) == (kind, rules, priority)


def test_an_early_supply_that_the_call_noticed_is_never_a_plain_repeat(desk: Requests) -> None:
    left = desk.ask("script_repeat", {"medicine": "coversyl"}, call="c", key="k", rules=["M-1.early"])
    assert left.kind == "script_monitored"


def test_red_flag_words_in_any_request_make_it_urgent(desk: Requests) -> None:
    left = ask(desk, "script_repeat", medicine="ventolin", reason="I can't breathe and my lips are blue")
    assert left.priority == "emergency" and any(rule.startswith("RF") for rule in left.rules)
    assert left.due == left.created
    assert desk.waiting()[0] == left


def test_a_dose_is_kept_for_the_doctor_and_never_read_back(desk: Requests) -> None:
    left = ask(desk, "script_repeat", medicine="coversyl", dose="ten milligrams", pharmacy="the one on Main Street")
    assert left.slots["dose"] == "ten milligrams"
    assert left.readable == {"medicine": "coversyl", "pharmacy": "the one on Main Street"}


def test_the_same_key_leaves_one_request(desk: Requests) -> None:
    assert ask(desk, "referral_new", specialty="skin") == ask(desk, "referral_new", specialty="skin")
    assert len(desk.waiting()) == 1


def test_an_unknown_kind_and_a_long_slot_are_kept_and_said(desk: Requests) -> None:
    left = ask(desk, "something_new", reason="a" * 700)
    assert left.kind == "other" and left.slots["kind"] == "something_new"
    assert len(left.slots["reason"]) == 500 and left.shortened == ("reason",) and "reason" in (left.note or "")


def test_staff_work_through_the_most_urgent_first(desk: Requests, clock: Clock) -> None:
    slow = ask(desk, "copy_of_records", key="1")
    clock.advance(hours=1)
    soon = ask(desk, "speak_to_nurse", key="2")
    death = ask(desk, "bereavement", key="3")
    assert [one.id for one in desk.waiting()] == [death.id, soon.id, slow.id]
    assert [one.id for one in desk.waiting("manager")] == [death.id]
    assert desk.update(death.id, "completed", "Sam").updated_by == "Sam"
    assert [one.id for one in desk.waiting()] == [soon.id, slow.id]
    with pytest.raises(RequestError, match="there is no request 'nothing'"):
        desk.update("nothing", "completed", "Sam")
    with pytest.raises(DatabaseError, match="no such row"):
        desk.ask("other", {}, call="c", key="4", patient="nobody")


def test_results_are_a_state_and_nothing_else(desk: Requests) -> None:
    assert desk.result_state("mary", "bloods") == "none"
    desk.set_result("mary", "blood test", "not_seen", "system")
    desk.set_result("mary", "x-ray of the wrist", "seen", "Dr Nguyen")
    assert desk.result_state("mary", "me blood results") == "not_seen"
    assert desk.result_state("mary", "x-ray") == "seen"
    assert desk.result_state("mary") == "not_seen"
    desk.set_result("mary", "blood test", "seen", "Dr Nguyen")
    assert desk.result_state("mary") == "seen"
    assert desk.result_state("jo") == "none"
