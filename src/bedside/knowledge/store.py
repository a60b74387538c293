"""All facts in one place: what there is, what is wrong with it, and what changes when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from bedside.errors import KnowledgeError
from bedside.knowledge.facts import Fact, built_in

if TYPE_CHECKING:
    from bedside.knowledge.protocol import Protocol

FindingKind = Literal["schema", "duplicate", "conflict", "dead-reference", "lowered", "expired", "not-yet-valid", "unreviewed"]
_ERRORS = {"schema", "duplicate", "conflict", "dead-reference"}


@dataclass(frozen=True, slots=True)
class Shelf:
    """One kind of facts.

    Attributes:
        name: what a practice's protocol and reports call it.
        source: its YAML file, or `module:function` that gives the facts where they are kept in another form.
        model: `module:class` of one fact.
        refers: attribute that holds ids of other facts, and their shelf.
        unique: attributes in which no two facts that hold on one day may be equal.
    """

    name: str
    source: str
    model: str
    refers: Mapping[str, str] = field(default_factory=dict)
    unique: tuple[str, ...] = ()

    def fact_model(self) -> type[Fact]:
        """The class of its facts."""
        model: type[Fact] = _imported(self.model)
        return model


SHELVES = {
    shelf.name: shelf
    for shelf in (
        Shelf("dispositions", "dispositions.yaml", "bedside.knowledge.dispositions:Disposition", {"says": "approved_texts"}),
        Shelf("helplines", "helplines.yaml", "bedside.knowledge.sayings:Helpline", unique=("digits",)),
        Shelf("approved_texts", "approved_texts.yaml", "bedside.knowledge.sayings:ApprovedText", {"helplines": "helplines"}),
        Shelf("prompts", "prompts.yaml", "bedside.knowledge.prompts:Prompt"),
        Shelf("sms_texts", "sms_texts.yaml", "bedside.knowledge.sms:SmsText"),
        Shelf("guard", "guard.yaml", "bedside.knowledge.guard_rules:GuardRule", {"says": "approved_texts"}),
        Shelf("device_thresholds", "device_thresholds.yaml", "bedside.knowledge.device_thresholds:DeviceThreshold"),
        Shelf("analytes", "analytes.yaml", "bedside.knowledge.report_facts:Analyte"),
        Shelf("reference_intervals", "reference_intervals.yaml", "bedside.knowledge.report_facts:ReferenceInterval"),
        Shelf("report_terms", "report_terms.yaml", "bedside.knowledge.report_facts:Term"),
        Shelf("report_sums", "report_sums.yaml", "bedside.knowledge.report_facts:Sum"),
        Shelf("report_rules", "bedside.knowledge.report_facts:report_rules", "bedside.knowledge.report_facts:ReportRule"),
        Shelf("identifiers", "identifiers.yaml", "bedside.knowledge.identifiers:Identifier"),
        Shelf("red_flags", "red_flags.yaml", "bedside.knowledge.red_flags:RedFlagRule"),
        Shelf("medicines", "bedside.knowledge.medicines:medicines", "bedside.knowledge.medicines:Medicine"),
        Shelf("medicine_classes", "medicine_classes.yaml", "bedside.knowledge.medicines:MedicineClass"),
        Shelf("medicine_slang", "medicine_slang.yaml", "bedside.knowledge.medicines:MedicineSaying"),
        Shelf("interactions", "interactions.yaml", "bedside.knowledge.medicines:InteractionRule", {"wording": "approved_texts"}),
        Shelf("cross_checks", "cross_checks.yaml", "bedside.knowledge.medicines:CrossCheck", {"wording": "approved_texts"}),
        Shelf("medicare", "medicare.yaml", "bedside.knowledge.medicare:Rule"),
        Shelf("pbs", "pbs.yaml", "bedside.knowledge.medicare:Rule"),
        Shelf("mbs_items", "mbs_items.yaml", "bedside.knowledge.medicare:Item"),
        Shelf("mbs_fees", "mbs_fees.yaml", "bedside.knowledge.medicare:Fee"),
        Shelf("health_assessments", "health_assessments.yaml", "bedside.knowledge.medicare:Assessment"),
    )
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a fact that somebody should know.

    Attributes:
        kind: what it is.
        id: the fact's id, or the shelf's name where a whole file cannot be read.
        problem: what was found.
    """

    kind: FindingKind
    id: str
    problem: str

    @property
    def is_error(self) -> bool:
        """Whether the knowledge cannot be used before it is mended."""
        return self.kind in _ERRORS


@dataclass(frozen=True, slots=True)
class Change:
    """A fact that begins to hold on `day`, or that held last on the day before."""

    day: date
    kind: Literal["begins", "ends"]
    fact: Fact


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


@cache
def facts(shelf: str) -> tuple[Fact, ...]:
    """The built-in facts of one shelf.

    Raises:
        KnowledgeError: no such shelf, or its file has faults.
    """
    if shelf not in SHELVES:
        raise KnowledgeError(f"{shelf!r} is no kind of fact", f"Use one of {', '.join(SHELVES)}")
    found = SHELVES[shelf]
    return tuple(_imported(found.source)()) if ":" in found.source else built_in(found.fact_model(), found.source)


def everything(overlay: Protocol | None = None) -> dict[str, tuple[Fact, ...]]:
    """All facts by shelf, the practice's own after the built-in ones.

    Raises:
        KnowledgeError: a file has faults.
    """
    added = overlay.added if overlay else {}
    return {name: facts(name) + added.get(name, ()) for name in SHELVES}


def show(fact_id: str, overlay: Protocol | None = None) -> tuple[Fact, ...]:
    """The fact of that id; several where it had other values at other times, oldest first.

    Raises:
        KnowledgeError: there is none; near ids are named.
    """
    shelves = everything(overlay)
    found = [fact for shelf in shelves.values() for fact in shelf if fact.id == fact_id]
    if not found:
        near = get_close_matches(fact_id, {fact.id for shelf in shelves.values() for fact in shelf}, n=4, cutoff=0.5)
        raise KnowledgeError(f"no fact has the id {fact_id!r}", f"Try {', '.join(near)}" if near else "List them: bedside knowledge check")
    return tuple(sorted(found, key=lambda fact: fact.valid_from or date.min))


def changes_on(day: date, overlay: Protocol | None = None) -> tuple[Change, ...]:
    """What is different on `day` from the day before."""
    return changes_between(day, day, overlay)


def changes_between(first: date, last: date, overlay: Protocol | None = None) -> tuple[Change, ...]:
    """What begins or ends from `first` to `last`, both included, in order of the days."""
    changes = [
        change for shelf in everything(overlay).values() for fact in shelf for change in _changes(fact) if first <= change.day <= last
    ]
    return tuple(sorted(changes, key=lambda change: (change.day, change.kind, change.fact.id)))


def _changes(fact: Fact) -> Iterator[Change]:
    if fact.valid_from:
        yield Change(fact.valid_from, "begins", fact)
    if fact.valid_to and fact.valid_to < date.max:
        yield Change(fact.valid_to + timedelta(days=1), "ends", fact)


def check(day: date, overlay: Protocol | None = None) -> tuple[Finding, ...]:
    """What is wrong with the knowledge on `day`, errors first."""
    shelves: dict[str, tuple[Fact, ...]] = {}
    findings: list[Finding] = []
    for name in SHELVES:
        try:
            shelves[name] = facts(name) + (overlay.added.get(name, ()) if overlay else ())
        except KnowledgeError as error:
            findings.append(Finding("schema", name, error.problem))
    findings += _twice(shelves)
    for name, shelf in shelves.items():
        findings += _equal(shelf, SHELVES[name].unique)
        for attribute, target in SHELVES[name].refers.items():
            if target in shelves:
                findings += _dead(shelf, attribute, shelves[target], day)
        findings += [finding for fact in shelf for finding in _state(fact, day)]
    if overlay:
        findings += [Finding("lowered", change.rule, change.describe(day)) for change in overlay.lowered]
    return tuple(sorted(findings, key=lambda finding: not finding.is_error))


def _overlap(one: Fact, other: Fact) -> bool:
    starts = max(one.valid_from or date.min, other.valid_from or date.min)
    return starts <= min(one.valid_to or date.max, other.valid_to or date.max)


def _twice(shelves: Mapping[str, Iterable[Fact]]) -> Iterator[Finding]:
    places: defaultdict[str, list[tuple[str, Fact]]] = defaultdict(list)
    for name, shelf in shelves.items():
        for fact in shelf:
            places[fact.id].append((name, fact))
    for fact_id, found in places.items():
        for (here, one), (there, other) in combinations(found, 2):
            if here != there or one == other:
                yield Finding("duplicate", fact_id, f"stands in {here} and again in {there}")
            elif _overlap(one, other):
                yield Finding("conflict", fact_id, f"has two values in {here} that hold on the same days")


def _equal(shelf: Iterable[Fact], attributes: Iterable[str]) -> Iterator[Finding]:
    for attribute in attributes:
        groups: defaultdict[object, list[Fact]] = defaultdict(list)
        for fact in shelf:
            groups[getattr(fact, attribute)].append(fact)
        for value, group in groups.items():
            for one, other in combinations(group, 2):
                if value is not None and one.id != other.id and _overlap(one, other):
                    yield Finding("conflict", one.id, f"has the same {attribute} as {other.id}: {value}")


def _dead(shelf: Iterable[Fact], attribute: str, targets: Iterable[Fact], day: date) -> Iterator[Finding]:
    known = {fact.id for fact in targets}
    alive = {fact.id for fact in targets if fact.holds_on(day)}
    for fact in shelf:
        if not fact.holds_on(day):
            continue
        named = getattr(fact, attribute)
        for target in (named,) if isinstance(named, str) else named:
            if target not in alive:
                fault = f"does not hold on {day}" if target in known else "does not exist"
                yield Finding("dead-reference", fact.id, f"{attribute} names {target}, which {fault}")


def _state(fact: Fact, day: date) -> Iterator[Finding]:
    if fact.valid_to and fact.valid_to < day:
        yield Finding("expired", fact.id, f"held until {fact.valid_to}")
    if fact.valid_from and fact.valid_from > day:
        yield Finding("not-yet-valid", fact.id, f"holds from {fact.valid_from}")
    if fact.reviewed_by is None or fact.reviewed_on is None:
        yield Finding("unreviewed", fact.id, f"certainty {fact.certainty}; nobody has signed it off")
