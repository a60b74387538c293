"""Why the protocol sends somebody where it does, in a form that a page can show beside their words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from bedside.errors import KnowledgeError
from bedside.knowledge.dispositions import Disposition, disposition, dispositions
from bedside.knowledge.protocol import Protocol
from bedside.safety.approved import say
from bedside.safety.rows import decided
from bedside.safety.triage import Triage, triage
from bedside.safety.urgency import UNCERTAIN, Decision
from bedside.server.console.marks import Mark, Piece, pieces

Tone = Literal["stop", "warn", "good"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the safety core made of one text.

    Attributes:
        pieces: the text, with the ids of the red flags over the words that fired them.
        found: rules, evidence and questions.
        decision: where it leads, the practice's own changes included, with every voice that was heard.
        place: that disposition.
        says: the approved text for it; "" where it cannot be said today because a number in it is not confirmed.
    """

    pieces: list[Piece]
    found: Triage
    decision: Decision
    place: Disposition
    says: str

    @property
    def ladder(self) -> list[Disposition]:
        """Every disposition, most urgent first."""
        return list(dispositions().values())


def explain(text: str, *, day: date, protocol: Protocol | None = None) -> Explanation:
    """Read a text as the line and the gateway do, without a model.

    Raises:
        KnowledgeError: a red flag of the protocol cannot be used.
    """
    found = triage(text, day=day, protocol=protocol)
    decision = decided(found, protocol, day)
    place = disposition(decision.disposition)
    marks = [Mark(start, end, flag.id) for flag in found.red_flags for start, end in flag.spans]
    return Explanation(pieces(text, marks), found, decision, place, _says(place, day, protocol))


def tone(place: str) -> Tone:
    """How loud a disposition is on a page: an emergency or a live transfer, help on the same day or a person, or neither."""
    found = disposition(place)
    if found.emergency or found.level > disposition(UNCERTAIN).level:
        return "stop"
    return "warn" if found.level >= disposition("SAME_DAY").level else "good"


def _says(place: Disposition, day: date, protocol: Protocol | None) -> str:
    try:
        return say(place.says, day=day, protocol=protocol)
    except KnowledgeError:  # names a number that is not confirmed: nobody says it today
        return ""
