"""How urgent a call is: the one place where dispositions of rules, model, protocol and people come together.

Rules, the practice's protocol and the model can only raise. Two things lower, and both carry a name: a signed change in the protocol
(`bedside.knowledge.protocol`), and the decision of a clinician in the call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from bedside.errors import KnowledgeError
from bedside.knowledge.dispositions import disposition, dispositions, most_urgent
from bedside.knowledge.protocol import Protocol

__all__ = ["UNCERTAIN", "Decision", "Fired", "HumanDecision", "Reason", "decide", "most_urgent", "raised"]

UNCERTAIN = "HUMAN"
"""What doubt leads to. HUMAN stands above SAME_DAY, SOON, ROUTINE and ADMIN, so that doubt never ends in a booking or in self-service,
and below NURSE_NOW and every emergency, so that a transfer to the front desk never hides one."""

_MAY_LOWER = {"gp", "nurse practitioner", "registered nurse"}


class Fired(NamedTuple):
    """A red flag that fired: the rule's id, and the disposition it leads to before the practice's protocol is applied."""

    rule: str
    disposition: str


@dataclass(frozen=True, slots=True)
class HumanDecision:
    """What a person decided in the call.

    Attributes:
        disposition: where they send the caller.
        by: their name.
        role: `gp`, `nurse practitioner` and `registered nurse` may lower; anybody may raise (project source book 1.2).
        at: when.
        reason: why.

    Raises:
        KnowledgeError: no such disposition, or no name or reason.
    """

    disposition: str
    by: str
    role: str
    at: datetime
    reason: str

    def __post_init__(self) -> None:
        disposition(self.disposition)
        for field in ("by", "role", "reason"):
            if not any(letter.isalpha() for letter in getattr(self, field)):
                raise KnowledgeError(f"a decision of a person has no {field}: {getattr(self, field)!r}", f"Give {field}")

    @property
    def may_lower(self) -> bool:
        """Whether this person may send a caller somewhere less urgent than the protocol does."""
        return self.role.strip().lower() in _MAY_LOWER


@dataclass(frozen=True, slots=True)
class Reason:
    """One voice in a decision.

    Attributes:
        who: a rule's id, `model`, `nothing known`, or the name of the person.
        disposition: what it asked for.
        note: what happened to it on the way; empty: nothing.
    """

    who: str
    disposition: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where the caller goes, and every voice that was heard, a lower one too."""

    disposition: str
    because: tuple[Reason, ...]


def raised(base: str, *others: str) -> str:
    """`base`, or what is as urgent as it and all `others`; never less than `base`.

    Raises:
        KnowledgeError: one of them is no disposition.
    """
    return most_urgent(base, *others)


def decide(
    rules: Iterable[Fired], model: str | None = None, overlay: Protocol | None = None, human: HumanDecision | None = None, *, day: date
) -> Decision:
    """Where a caller goes on `day`.

    Args:
        rules: the red flags that fired.
        model: the model's disposition; anything that is none counts as `UNCERTAIN`. It raises, never lowers.
        overlay: the practice's protocol.
        human: the decision of a person. One who may not lower can still raise.

    Raises:
        KnowledgeError: a rule leads to something that is no disposition.
    """
    reasons = [_rule(fired, overlay, day) for fired in rules]
    if model is not None:
        reasons.append(Reason("model", model) if model in dispositions() else Reason("model", UNCERTAIN, f"said {model[:40]!r}"))
    if not reasons:
        reasons.append(Reason("nothing known", UNCERTAIN))
    place = raised(*(reason.disposition for reason in reasons))
    if human is None:
        return Decision(place, tuple(reasons))
    higher = raised(place, human.disposition)
    taken = human.disposition if human.may_lower else higher
    note = f"{human.role}, {human.at:%Y-%m-%d %H:%M}: {human.reason}" + ("" if taken == human.disposition else f"; may not lower {place}")
    return Decision(taken, (*reasons, Reason(human.by, human.disposition, note)))


def _rule(fired: Fired, overlay: Protocol | None, day: date) -> Reason:
    changes = overlay.in_force(fired.rule, fired.disposition, day) if overlay else ()
    if not changes:
        return Reason(fired.rule, disposition(fired.disposition).id)
    (change,) = changes  # a protocol changes one route of a rule once
    return Reason(fired.rule, change.to, f"the practice's protocol: {change.describe(day)}")
