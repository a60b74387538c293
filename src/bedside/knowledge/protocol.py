"""A practice's own protocol over the built-in knowledge: its name and fees, its changes to red flags, and facts it adds.

    practice: {name: Wattle Street Practice, number: 02 5550 1234, fees: {standard: 89.50}}
    changes:
      - {rule: RF51, to: E000}
      - {rule: RF04, from: SAME_DAY, to: ROUTINE, sign_off: {by: Dr Jo Example, role: gp, date: 2026-11-02, reason: "…", valid_to: 2027-11-01}}
    add:
      helplines: [{id: local.nurse, name: …, number: …, use: …, source: …, certainty: A}]

Raising a disposition is free. Lowering one needs a signature, lasts no longer than it, and stays listed in `Protocol.lowered`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from bedside.errors import KnowledgeError
from bedside.knowledge.dispositions import disposition, most_urgent
from bedside.knowledge.facts import Fact, validated
from bedside.knowledge.red_flags import RedFlagRule, red_flags
from bedside.knowledge.store import SHELVES, facts

_MAY_LOWER = ("gp", "general practitioner", "principal gp", "medical director")
Named = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, pattern=r"[^\W\d_]{2}")]


def _clinical_lead(role: object) -> str:
    """The role in lower case; ValueError where it may not override a protocol's outcome (project source book 1.2)."""
    plain = " ".join(str(role).lower().split())
    if plain not in _MAY_LOWER:
        raise ValueError(f"{role!r} may not lower a red flag; {', '.join(_MAY_LOWER)} may")
    return plain


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class SignOff(_Part):
    """Who answers for a lowered disposition.

    Attributes:
        by: their name.
        role: what they are; a GP, and nobody else, may override a protocol's outcome (project source book 1.2).
        date: the day of the signature and first day on which the lowering holds.
        reason: why it is safe.
        valid_to: last day on which it holds; None: until withdrawn.
    """

    by: Named
    role: Annotated[str, BeforeValidator(_clinical_lead)]
    date: datetime.date
    reason: Named
    valid_to: datetime.date | None = None

    def holds_on(self, day: datetime.date) -> bool:
        """Whether the signature is in force on `day`, both ends included."""
        return self.date <= day and (self.valid_to is None or day <= self.valid_to)


class RuleChange(_Part):
    """One red flag that this practice sends elsewhere.

    Attributes:
        rule: id of the red flag.
        was: the disposition that is changed; None: every one of the rule.
        to: where it goes instead.
        sign_off: needed where `to` is not more urgent.
    """

    rule: str
    was: str | None = Field(default=None, alias="from")
    to: str
    sign_off: SignOff | None = None

    def describe(self, day: datetime.date) -> str:
        """The change and its signature in one line, with whether it is in force on `day`."""
        line = f"{self.rule}: {self.was or 'all'} becomes {self.to}"
        if self.sign_off is None:
            return line
        end = f" until {self.sign_off.valid_to}" if self.sign_off.valid_to else ""
        state = "" if self.sign_off.holds_on(day) else f"; not in force on {day}"
        return f"{line}, signed by {self.sign_off.by} ({self.sign_off.role}) on {self.sign_off.date}{end}: {self.sign_off.reason}{state}"


class Practice(_Part):
    """What the line may say about the practice itself: its name, its telephone number, and fees in dollars by name."""

    name: Named
    number: str | None = Field(default=None, pattern=r"^\d[\d ]*\d$")
    fees: dict[str, Annotated[Decimal, Field(ge=0, decimal_places=2)]] = Field(default_factory=dict)


class _File(_Part):
    practice: Practice | None = None
    changes: tuple[RuleChange, ...] = ()
    add: dict[str, list[Any]] = Field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Protocol:
    """A practice's protocol, checked.

    Attributes:
        practice: its name, number and fees; None: the file gives none.
        raised: changes that make a red flag more urgent.
        lowered: changes that do not, all signed; every report shows them.
        added: facts by shelf.
    """

    practice: Practice | None = None
    raised: tuple[RuleChange, ...] = ()
    lowered: tuple[RuleChange, ...] = ()
    added: Mapping[str, tuple[Fact, ...]] = field(default_factory=dict)

    def in_force(self, rule: str, was: str, day: datetime.date) -> tuple[RuleChange, ...]:
        """The changes that apply on `day` when `rule` would send a caller to `was`."""
        fitting = (change for change in (*self.raised, *self.lowered) if (change.rule, change.was) == (rule, was))
        return tuple(change for change in fitting if change in self.raised or (change.sign_off and change.sign_off.holds_on(day)))


def load_protocol(path: Path) -> Protocol:
    """Read a practice's protocol file; the layout stands at the top of this module.

    Raises:
        KnowledgeError: no YAML, another layout, a rule or disposition that does not exist, a lowering that nobody signed, or added facts
            that have faults or hide built-in ones.
        OSError: the file cannot be read.
    """
    content = _content(path)
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False)[:10])
        raise KnowledgeError(f"{path} has faults: {faults}", "Mend them; the layout is in the reference of protocols") from error
    added = {shelf: _added(shelf, entries, path) for shelf, entries in file.add.items()}
    rules = {fact.id: fact for fact in (*red_flags(), *added.get("red_flags", ())) if isinstance(fact, RedFlagRule)}
    changes = [one for change in file.changes for one in _for_each_route(change, rules)]
    twice = [change for number, change in enumerate(changes) if any((change.rule, change.was) == (c.rule, c.was) for c in changes[:number])]
    if twice:
        raise KnowledgeError(f"{path} changes {twice[0].rule} from {twice[0].was} twice", "Keep one of the two")
    raised = tuple(change for change in changes if _raises(change))
    return Protocol(file.practice, raised, tuple(change for change in changes if change not in raised), added)


def _content(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{path} is not UTF-8 text (byte {error.start})", "Save it as UTF-8") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date such as 2026-02-30 is a ValueError of the YAML reader
        raise KnowledgeError(f"{path} is no YAML: {' '.join(str(error).split())}", "Mend that line") from error


def _added(shelf: str, entries: list[Any], path: Path) -> tuple[Fact, ...]:
    if shelf not in SHELVES:
        raise KnowledgeError(f"{path} adds to {shelf!r}, which is no kind of fact", f"Use one of {', '.join(SHELVES)}")
    added = validated(SHELVES[shelf].fact_model(), entries, {}, f"{path} ({shelf})")
    taken = {fact.id for fact in facts(shelf)} & {fact.id for fact in added}
    if taken:
        raise KnowledgeError(f"{path} adds {min(taken)!r} to {shelf}, which is built in and cannot be replaced", "Give it another id")
    return added


def _for_each_route(change: RuleChange, rules: Mapping[str, RedFlagRule]) -> Iterator[RuleChange]:
    if change.rule not in rules:
        near = get_close_matches(change.rule, rules, n=3, cutoff=0.4)
        raise KnowledgeError(
            f"the protocol changes {change.rule!r}, which is no red flag", f"Did you mean {' or '.join(near) or 'another'}?"
        )
    disposition(change.to)
    routes = {route.to for route in rules[change.rule].routes}
    if change.was is not None and change.was not in routes:
        raise KnowledgeError(
            f"the protocol changes {change.rule} from {change.was}, but it leads to {', '.join(sorted(routes))}", "Correct `from`"
        )
    wanted = [change.model_copy(update={"was": was}) for was in sorted(routes) if change.was in (None, was)]
    unsigned = [one for one in wanted if not _raises(one) and one.sign_off is None]
    if unsigned:
        raise KnowledgeError(
            f"the protocol lowers {change.rule} from {unsigned[0].was} to {change.to} without a signature",
            "Add sign_off: {by, role, date, reason}, or name with `from` the disposition that you mean to raise",
        )
    if len(wanted) > 1 and not all(map(_raises, wanted)):
        raise KnowledgeError(f"the protocol lowers {change.rule}, which leads to {', '.join(sorted(routes))}", "Say which with `from`")
    yield from wanted


def _raises(change: RuleChange) -> bool:
    return change.was is not None and most_urgent(change.was, change.to) == change.to
