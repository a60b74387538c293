"""Whether simulated callers got what they rang for: from the practice's systems and the transcript, never from what the line believes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bedside.phone.call.text import Transcript
from bedside.phone.diary import Appointment, Diary
from bedside.phone.requests import Requests
from bedside.phone.simulated.people import Plan, Wanted

_Z = 1.959964
"""Of the normal distribution, for intervals of 95 %."""


@dataclass
class Result:
    """One simulated call.

    Attributes:
        plan: who rang, and for what.
        done: the caller got it.
        seconds: the call's length; by typing that of the line's own work.
        urgent_s: from the end of a red flag's words to the line's answer, negative where it came before their end; None: no red flag was
            to be heard, or none was.
        transcript: all that was said and noted.
        audio: file name of the recording, the caller left and the line right; "" by typing.
        fault: why the call could not be held at all; "" for none.
    """

    plan: Plan
    done: bool
    seconds: float
    transcript: Transcript
    urgent_s: float | None = None
    audio: str = ""
    fault: str = ""

    @property
    def turns(self) -> int:
        """Of the caller."""
        return sum(entry.who == "caller" and entry.what in ("Heard", "Pressed") for entry in self.transcript.entries)

    @property
    def first_audio_ms(self) -> list[float]:
        """From the end of the caller's words to the line's first sound, for each turn; empty by typing."""
        return [entry.ms["first_audio"] for entry in self.transcript.entries if "first_audio" in entry.ms]

    @property
    def urgent(self) -> bool:
        """Whether a red flag was to be heard."""
        return bool(self.plan.errand.wants.urgent)

    @property
    def wanted(self) -> str:
        """What would have counted, in words."""
        return " or ".join(f"{name} {_shown(value)}".strip() for name, value in self.plan.errand.wants if value)


def score(plan: Plan, transcript: Transcript, before: Sequence[Appointment], diary: Diary, requests: Requests, call: str) -> bool:
    """Whether a call that is over came to what its errand wants.

    Args:
        before: the patient's coming appointments before the call.
        call: its id, as requests keep it.
    """
    wants, patient = plan.errand.wants, plan.persona.patient.id
    after = {one.id: one for one in diary.upcoming(patient)}
    new = [one for one in after.values() if one.id not in {old.id for old in before}]
    moved = any(old.id in after and after[old.id].start != old.start for old in before)
    cancelled = any(old.id not in after for old in before)
    left = {one.kind for one in requests.waiting() if one.call == call}
    return (
        _booked(wants, plan, new)
        or (wants.moved and (moved or (cancelled and bool(new))))
        or (wants.cancelled and cancelled and not new)
        or bool(left & set(wants.left))
        or bool({*wants.told, *wants.urgent} & set(transcript.prompts))
        or transcript.ended in wants.ended
    )


def _booked(wants: Wanted, plan: Plan, new: Sequence[Appointment]) -> bool:
    return wants.booked is not None and any(wants.booked == "anybody" or one.practitioner == plan.doctor.id for one in new)


def _shown(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else "" if value is True else str(value)


@dataclass(frozen=True)
class Share:
    """So many of so many, with the Wilson interval of 95 % (Wilson 1927)."""

    right: int
    of: int

    @property
    def value(self) -> float:
        """The share; not a number of nothing."""
        return self.right / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Its lower and upper end."""
        if not self.of:
            return 0.0, 1.0
        spread = _Z * math.sqrt(self.value * (1 - self.value) / self.of + _Z**2 / (4 * self.of**2))
        middle, scale = self.value + _Z**2 / (2 * self.of), 1 + _Z**2 / self.of
        return (middle - spread) / scale, (middle + spread) / scale

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.right} of {self.of} ({self.value:.0%}, {low:.0%} to {high:.0%})" if self.of else "none"


@dataclass(frozen=True)
class Summary:
    """A run in figures.

    Attributes:
        done: callers with an ordinary errand who got what they rang for.
        urgent: callers with a red flag for whom it was heard.
        urgent_soon: those for whom it was acted on within two seconds of its words.
        first_audio_ms: median and 95th percentile; not a number by typing.
    """

    done: Share
    urgent: Share
    urgent_soon: Share
    first_audio_ms: tuple[float, float]


SOON_S = 2.0
"""Seconds after its words within which a red flag has to be acted on."""


def summary(results: Sequence[Result]) -> Summary:
    """All calls in figures."""
    ordinary, urgent = [one for one in results if not one.urgent], [one for one in results if one.urgent]
    soon = sum(one.done and one.urgent_s is not None and one.urgent_s <= SOON_S for one in urgent)
    waits = sorted(ms for one in results for ms in one.first_audio_ms)
    return Summary(
        Share(sum(one.done for one in ordinary), len(ordinary)),
        Share(sum(one.done for one in urgent), len(urgent)),
        Share(soon, len(urgent)),
        (percentile(waits, 50), percentile(waits, 95)),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value of that rank among ordered ones (nearest rank); not a number of none."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan
