"""What the line asks of the model and of the practice's systems.

A request is plain data. The machine emits it in an `Act`; whoever drives the call gives it to a `Desk`, off the event loop, since a
database and a model block. Each class tells what its result is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bedside.phone.diary import Appointment, Hold, Offer
from bedside.phone.patients import Claim
from bedside.phone.requests import Priority
from bedside.phone.words.dates import Days
from bedside.phone.words.times import TimeOfDay


@dataclass(frozen=True, slots=True)
class Understand:
    """What a turn means. Result: `Understanding`."""

    text: str


@dataclass(frozen=True, slots=True)
class Find:
    """Free times, the nearest to what was wished first. Result: at most two `Offer`s.

    Attributes:
        days: acceptable days; empty: any.
        same_day: also times kept for callers who have to be seen today.
    """

    type: str
    days: Days = ()
    time: TimeOfDay | None = None
    practitioner: str | None = None
    gender: str | None = None
    same_day: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """Hold an offered time. Result: `Hold`, or None where somebody was faster."""

    offer: Offer


@dataclass(frozen=True, slots=True)
class Book:
    """Turn a hold into an appointment. Result: `Appointment`, or None where the hold ran out."""

    hold: Hold
    patient: str
    reason: str


@dataclass(frozen=True, slots=True)
class Move:
    """Move an appointment to a held time. Result: `Appointment`, or None where the hold ran out."""

    appointment: str
    hold: Hold


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel an appointment. Result: `Appointment`."""

    appointment: str


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A patient's coming appointments. Result: list of `Appointment`, the next first."""

    patient: str


@dataclass(frozen=True, slots=True)
class Identify:
    """Match three identifiers. Result: `Person`, or None where they match nobody, or more than one, or the call has failed too often."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class ResultsOf:
    """Whether a doctor has looked at a patient's results. Result: `ResultState`."""

    patient: str
    test: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave a task for staff. Result: None. `rules`: red flags and policies that decided its priority."""

    kind: str
    patient: str | None
    slots: Mapping[str, str]
    priority: Priority = "routine"
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Confirm:
    """Send a text message that confirms an appointment. Result: None; a practice without text messages sends none."""

    patient: str
    appointment: Appointment
    change: Literal["booked", "moved", "cancelled"]


Request = Understand | Find | Keep | Book | Move | Cancel | Upcoming | Identify | ResultsOf | Leave | Confirm


@dataclass(frozen=True, slots=True)
class Person:
    """An identified patient: their id, and the name by which the line may now call them."""

    id: str
    name: str
