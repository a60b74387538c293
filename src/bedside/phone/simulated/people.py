"""Who rings, what they want, and what they answer: personas and errands, from YAML."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from bedside.phone.call.text import Entry
from bedside.phone.patients import Patient
from bedside.phone.practice import Practice
from bedside.phone.practice_parts import Practitioner
from bedside.phone.words.digits import grouped
from bedside.safety.numbers import aloud

HANG_UP = "(hang up)"


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Persona(_Row):
    """One caller; the fields are explained at the top of `personas.yaml`."""

    id: str
    about: str
    given: str
    family: str
    born: dt.date
    mobile: str
    person: str
    number: str
    voice: str
    speed: float = 1.0
    accent: str = ""
    lead: tuple[str, ...]
    yes: str
    no: str
    first: str
    done: str
    noise_db: float | None = None
    interrupts: bool = False

    @property
    def patient(self) -> Patient:
        """The patient whom the caller rings about."""
        return Patient(f"simulated-{self.id}", self.family, self.given, self.born, mobile=self.mobile)


class Wanted(_Row):
    """What an errand comes to when it succeeds: any one of these."""

    booked: Literal["doctor", "anybody"] | None = None
    moved: bool = False
    cancelled: bool = False
    left: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    urgent: tuple[str, ...] = ()


class Errand(_Row):
    """One thing that callers want; the fields are explained at the top of `errands.yaml`."""

    id: str
    openings: dict[str, tuple[str, ...]]
    wants: Wanted
    about: tuple[str, ...] = ()
    before: bool = False
    replies: dict[str, str] = Field(default_factory=dict)


def _read(name: str) -> Any:
    return yaml.safe_load(files(__package__).joinpath(name).read_text(encoding="utf-8"))


@cache
def personas() -> tuple[Persona, ...]:
    """Every persona."""
    return tuple(Persona(id=name, **row) for name, row in _read("personas.yaml")["personas"].items())


@cache
def accents() -> dict[str, list[tuple[str, str]]]:
    """Changes of IPA by the accent's name."""
    return {name: [(sound, instead) for sound, instead in rows] for name, rows in _read("personas.yaml")["accents"].items()}


@cache
def errands() -> tuple[Errand, ...]:
    """Every errand."""
    return tuple(Errand.model_validate(row) for row in _read("errands.yaml"))


@cache
def _replies() -> dict[str, dict[str, str]]:
    replies: dict[str, dict[str, str]] = _read("replies.yaml")
    return replies


@dataclass(frozen=True)
class Plan:
    """One call to be made.

    Attributes:
        number: of the call within the run; decides which wording is used first.
        doctor: whom the caller asks for.
    """

    number: int
    persona: Persona
    errand: Errand
    doctor: Practitioner

    @property
    def caller(self) -> str:
        """The calling number: another one for each call, for the line limits what one number may fail at."""
        return f"simulated-{self.number}"


def plans(practice: Practice, calls: int) -> list[Plan]:
    """So many calls, each persona with each errand in turn, and then in other words; equal arguments give equal plans."""
    pairs = [(persona, errand) for errand in errands() for persona in personas()]
    doctors = [person for person in practice.practitioners if person.role == "gp"]
    return [Plan(at, *pairs[at % len(pairs)], doctors[(at // len(personas()) + at) % len(doctors)]) for at in range(calls)]


class Talker:
    """What one caller says; each time they have to say what they want they say it in other words.

    Attributes:
        opening: what was said last to tell the errand; "" before the first time.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.opening = ""
        self._told = 0

    def answer(self, heard: Sequence[Entry]) -> str:
        """What the caller says to the sentences of the line since they last spoke: to the last one that asks for an answer.

        Returns:
            Words, keys after "/", `HANG_UP`, or "" to go on listening.
        """
        for entry in reversed(heard):
            reply = self._reply(entry)
            if reply is not None:
                return reply
        return ""

    def tell(self) -> str:
        """What the caller wants, in the next wording."""
        persona, errand = self.plan.persona, self.plan.errand
        wordings = errand.openings.get(persona.id) or errand.openings["any"]
        turn = self.plan.number // len(personas()) + self.plan.number + self._told
        lead = persona.lead[turn % len(persona.lead)]
        self._told += 1
        self.opening = f"{lead} {wordings[turn % len(wordings)]}".strip().format(doctor=self._doctor)
        return self.opening

    @property
    def _doctor(self) -> str:
        return f"Doctor {self.plan.doctor.name.split()[-1]}"

    def _reply(self, entry: Entry) -> str | None:
        if entry.what.startswith(("say.e", "urgent.")):
            return HANG_UP
        words = self.plan.errand.replies.get(entry.what, _replies()["replies"].get(entry.what))
        check = _replies()["checks"].get(entry.what)
        if check is not None:
            return self.plan.persona.yes if self._agrees(check, entry.text) else self.plan.persona.no
        if words == "{opening}":
            return self.tell()
        if words is None:
            return None
        spelled = " ".join(self.plan.persona.family.upper())
        return words.format(**self.plan.persona.model_dump(), doctor=self._doctor, spelled=spelled)

    def _agrees(self, check: str, said: str) -> bool:
        """Whether the caller's answer to a question of `checks` is yes."""
        if check == "urgent":
            return bool(self.plan.errand.wants.urgent)
        if check == "digits":
            return aloud(grouped(self.plan.persona.mobile)) in said
        if check == "doctor":
            return self.plan.errand.wants.booked != "doctor" or self.plan.doctor.name.split()[-1] in said
        return any(word in said for word in self.plan.errand.about)
