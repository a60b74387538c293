"""Whole conversations to their end in the practice's own database."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml
from clinic_by_phone import Clinic, meaning
from sqlalchemy import select

from bedside.engine.understanding import Understanding
from bedside.phone.call.menu import understand_by_words
from bedside.phone.database import messages

MARY = ("mary brown third of march nineteen sixty two", "oh four nine one five seven oh double oh six")
CONVERSATIONS = yaml.safe_load(Path(__file__).with_name("conversations.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("talk", CONVERSATIONS, ids=[talk["name"] for talk in CONVERSATIONS])
def test_a_conversation_does_in_the_end_what_the_caller_wants(clinic: Clinic, talk: dict[str, Any]) -> None:
    for practitioner, start in talk.get("before", {}).items():
        _book(clinic, practitioner, start)
    lines = [part for line in talk["says"] for part in (MARY if line == "MARY" else (line,))]
    if talk.get("identity"):
        lines[1:1] = MARY

    def understand(text: str) -> Understanding:
        means = talk.get("means", {}).get(text)
        return meaning(*means["intents"], **means.get("slots", {})) if means else understand_by_words(text)

    call = clinic.ring(*lines, understand=understand)
    _in_order(talk["hears"], call.prompts)
    assert call.ended == talk["ends"], call.prompts
    for word in talk.get("never", ()):
        assert not any(word in entry.text for entry in call.entries if entry.who == "line")
    if "booked" in talk:
        assert _booked(clinic) == talk["booked"]
    assert {one.kind: one.priority for one in clinic.requests.waiting()} == talk.get("left", {})
    if "sms" in talk:
        with clinic.database.reading() as connection:
            assert connection.scalars(select(messages.c.text_id)).all() == talk["sms"]


def _book(clinic: Clinic, practitioner: str, start: str) -> None:
    begins = dt.datetime.fromisoformat(start).replace(tzinfo=clinic.practice.zone)
    window = (begins, begins + dt.timedelta(minutes=1))
    (offer,) = clinic.diary.find(type="standard", practitioner=practitioner, window=window, limit=1, same_day=True)
    clinic.diary.book(clinic.diary.hold(offer, "before"), "p1", "", f"before-{practitioner}")


def _booked(clinic: Clinic) -> dict[str, str]:
    return {one.practitioner: f"{one.start.astimezone(clinic.practice.zone):%Y-%m-%d %H:%M}" for one in clinic.diary.upcoming("p1")}


def _in_order(wanted: list[str], said: list[str]) -> None:
    place = 0
    for prompt in wanted:
        assert prompt in said[place:], f"{prompt} is missing after {said[:place]}; the rest was {said[place:]}"
        place = said.index(prompt, place) + 1
