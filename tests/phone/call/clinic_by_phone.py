"""A practice's systems in SQLite, and calls over them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bedside.engine.understanding import Intent, Understanding
from bedside.phone.call.desk import Desk
from bedside.phone.call.dialogue import Setting
from bedside.phone.call.events import Action, Connected, Heard, Say
from bedside.phone.call.line import State
from bedside.phone.call.machine import Call
from bedside.phone.call.menu import understand_by_words
from bedside.phone.call.text import Driver, Transcript, text_call
from bedside.phone.database import Database
from bedside.phone.diary import SqlDiary
from bedside.phone.outbox import Outbox
from bedside.phone.patients import Patients
from bedside.phone.practice import Practice
from bedside.phone.requests import Requests

EXAMPLE = Path(__file__).parents[3] / "practices" / "wattle-street.yaml"
MONDAY = dt.datetime(2026, 11, 23, 9, 0)
"""When calls are made: a Monday morning, with the practice open."""


@dataclass
class Clinic:
    """The practice's systems, and a way to ring them."""

    practice: Practice
    database: Database
    now: dt.datetime
    calls: int = 0

    def __post_init__(self) -> None:
        self.patients = Patients(self.database, self.practice.identity, self._utc)
        self.diary = SqlDiary(self.database, self.practice, self._utc)
        self.requests = Requests(self.database, self.practice, self._utc)
        self.outbox = Outbox(self.database, self.practice, self._utc)

    def _utc(self) -> dt.datetime:
        return self.now.astimezone(dt.UTC)

    def setting(self, caller: str = "0491570156") -> Setting:
        return Setting(self.practice, lambda: self.now, caller)

    def desk(self, understand: Callable[[str], Understanding] = understand_by_words) -> Desk:
        self.calls += 1
        return Desk(self.practice, understand, self.diary, self.patients, self.requests, self.outbox, f"call-{self.calls}", "0491570156")

    def ring(self, *lines: str, understand: Callable[[str], Understanding] = understand_by_words, answered: bool = True) -> Transcript:
        return text_call(self.setting(), self.desk(understand), lines, lambda line: None, answered=answered)


def meaning(*intents: str, entropy: float = 0.1, **slots: str) -> Understanding:
    """An understanding as a model gives it."""
    named = tuple(Intent(name=name, p=0.9) for name in intents)
    return Understanding(intents=named, slots=slots, entropy=entropy, probabilities=dict.fromkeys(intents, 0.9), seconds=0.0)


class Ringing:
    """A call, and all that the line has done in it."""

    def __init__(self, clinic: Clinic, understand: Callable[[str], Understanding] = understand_by_words) -> None:
        self.driver = Driver(Call(clinic.setting()), clinic.desk(understand))
        self.actions: list[Action] = []
        self.last: list[Action] = []
        self(Connected("0491570156"))

    def __call__(self, *events: Any) -> Ringing:
        for event in events:
            self.last = self.driver.feed(Heard(event) if isinstance(event, str) else event)
            self.actions += self.last
        return self

    @property
    def state(self) -> State:
        return self.driver.call.state

    def said(self, *, all_of_it: bool = False) -> list[str]:
        return [action.prompt for action in (self.actions if all_of_it else self.last) if isinstance(action, Say)]

    def of(self, kind: type) -> list[Any]:
        return [action for action in self.last if isinstance(action, kind)]
