"""How scripts talk: a script yields what it says, asks and does, and gets back answers and results.

    offers = yield Do(Find("standard", days))
    chosen = yield from ask("offer.two", read=…, again="offer.again")

A script never sees silence, noise, keys for a person or red flags: the machine handles those, and closes the script where it must.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bedside.phone.call.actions import Person, Request
from bedside.phone.call.events import ListenKind
from bedside.phone.practice import Practice
from bedside.phone.words.answers import yes_no

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tell:
    """Say a sentence and go on."""

    prompt: str
    slots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """Say a sentence and wait for the answer."""

    prompt: str
    slots: Mapping[str, str] = field(default_factory=dict)
    kind: ListenKind = "words"


@dataclass(frozen=True, slots=True)
class Do:
    """Carry out a request and wait for its result."""

    request: Request


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back to an `Ask`: words, with the recogniser's confidence (1 for typed ones), or a key; for a number, all its keys."""

    text: str
    key: str = ""
    confidence: float = 1.0


Step = Tell | Ask | Do
Script = Generator[Step, Any, T]


class PersonNeededError(Exception):
    """A script cannot go on without a person.

    Args:
        reason: why, for the summary and the log.
        to: `reception` or `nurse`.
        prompt: what the caller is told first.
    """

    def __init__(self, reason: str, to: str = "reception", prompt: str = "call.handoff") -> None:
        self.reason, self.to, self.prompt = reason, to, prompt
        super().__init__(reason)


class EmergencyError(Exception):
    """What the caller answered makes it an emergency."""


class SaidInsteadError(Exception):
    """The answer is a new turn, which takes the place of the wish."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__("a new turn")


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that the caller wants: its intent, the turn in which they said it, and the slots of that turn."""

    intent: str
    text: str = ""
    slots: Mapping[str, str] = field(default_factory=dict)
    same_day: bool = False
    rules: tuple[str, ...] = ()


@dataclass(slots=True)
class Setting:
    """What a call knows beside what is being said.

    Attributes:
        practice: whose line it is.
        clock: the time now, with its zone.
        caller: the calling number, "" where it is withheld.
        person: the patient, once three identifiers have matched.
        person_is: for whom the caller said that they ring when that patient was identified; "" for themselves.
    """

    practice: Practice
    clock: Callable[[], dt.datetime]
    caller: str = ""
    person: Person | None = None
    person_is: str = ""

    @property
    def now(self) -> dt.datetime:
        """The time on the practice's wall."""
        return self.clock().astimezone(self.practice.zone)

    @property
    def today(self) -> dt.date:
        """Today at the practice."""
        return self.now.date()


def ask(
    prompt: str, read: Callable[[Answer], T | None], *, again: str, kind: ListenKind = "words", slots: Mapping[str, str] | None = None
) -> Script[T]:
    """Ask, and ask once more in other words where the answer cannot be read.

    Raises:
        PersonNeededError: both answers could not be read.
    """
    for name in (prompt, again):
        value = read((yield Ask(name, slots or {}, kind)))
        if value is not None:
            return value
    raise PersonNeededError(f"could not understand the answer to {prompt}")


def ask_yes_no(prompt: str, slots: Mapping[str, str] | None = None) -> Script[bool]:
    """A question for yes (or key 1) or no (or key 2)."""
    return (yield from ask(prompt, read_yes_no, again=prompt, kind="yes_no", slots=slots))


def read_yes_no(answer: Answer) -> bool | None:
    """Yes or no by voice or key."""
    return {"1": True, "2": False}.get(answer.key) if answer.key else yes_no(answer.text)
