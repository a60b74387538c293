"""Medicines, their classes, how callers say them, and what is checked about them: typed facts from data files.

Names and brands stand in `medicines.csv`, classes in `medicine_classes.yaml`, spoken forms in `medicine_slang.yaml`, interactions in
`interactions.yaml` and checks against a patient in `cross_checks.yaml`.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import Field, ValidationError

from bedside.errors import KnowledgeError
from bedside.knowledge.facts import Fact, built_in

Severity = Literal["contraindicated", "major", "moderate", "minor"]

COMBINATION = " + "
"""What parts the generics of a combination product in its name."""


class Medicine(Fact):
    """One medicine, or one combination of medicines that is sold together.

    Attributes:
        generic: Australian approved name in lower case; the parts of a combination in the order of the alphabet.
        classes: ids of the classes that its row names.
        brands: names it is sold under in Australia; well-known foreign ones are among them.
        synonyms: other names of the same substance, foreign and former ones.
    """

    generic: str = Field(min_length=2)
    classes: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The generics in it; one, or several for a combination."""
        return tuple(self.generic.split(COMBINATION))


class MedicineClass(Fact):
    """A class of medicines: those whose row names it, `members`, and those of the classes that it `includes`, without `leaves_out`."""

    label: str
    includes: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    leaves_out: tuple[str, ...] = ()


class MedicineSaying(Fact):
    """Words about medicines; the kinds are explained at the top of `medicine_slang.yaml`."""

    kind: Literal["slang", "heard", "alike", "ordinary", "context", "little", "beside_a_name"]
    words: tuple[str, ...] = ()
    means: str | None = None
    needs_context: bool = False
    pairs: tuple[tuple[str, str], ...] = ()


class InteractionRule(Fact):
    """Medicines that should be checked before they are taken together.

    Attributes:
        a, b, c: class ids and generics; the rule fires where one medicine stands in `a`, another in `b` and, if given, a third in `c`.
        a_not, b_not: class ids and generics taken away from `a` and `b`.
        severity: how bad it can be.
        mechanism: how it comes about, in a few words.
        effect: what can happen, in a few words.
        wording: id of the approved text that may be said about it.
    """

    a: tuple[str, ...] = Field(min_length=1)
    b: tuple[str, ...] = Field(min_length=1)
    c: tuple[str, ...] = ()
    a_not: tuple[str, ...] = ()
    b_not: tuple[str, ...] = ()
    severity: Severity
    mechanism: str
    effect: str
    wording: str


class CrossCheck(Fact):
    """A medicine that needs a check for a patient of a certain kind.

    Attributes:
        medicines: class ids and generics that it is about; `medicines_not` are taken away.
        allergy: classes, generics or reactions on the patient's allergy list that make it apply.
        condition: conditions on record that make it apply, any of them.
        pregnant, breastfeeding: applies to patients who are.
        weeks_from: applies from this week of pregnancy.
        egfr_below: applies below this kidney function, mL/min/1.73 m².
        age_from, age_below: applies from or below this age, years.
        severity: how bad it can be.
        reason: what can happen, in a few words.
        wording: id of the approved text that may be said about it.
    """

    medicines: tuple[str, ...] = Field(min_length=1)
    medicines_not: tuple[str, ...] = ()
    allergy: tuple[str, ...] = ()
    condition: tuple[str, ...] = ()
    pregnant: bool = False
    breastfeeding: bool = False
    weeks_from: int | None = None
    egfr_below: float | None = None
    age_from: float | None = None
    age_below: float | None = None
    severity: Severity
    reason: str
    wording: str


@cache
def medicines() -> tuple[Medicine, ...]:
    """All medicines and combinations.

    Raises:
        KnowledgeError: a row of the table has a fault; it is named by its line.
    """
    text = files("bedside.knowledge").joinpath("medicines.csv").read_text(encoding="utf-8")
    return tuple(_medicine(row, line) for line, row in enumerate(csv.DictReader(io.StringIO(text)), 2))


def _medicine(row: dict[str, str], line: int) -> Medicine:
    try:
        return Medicine(
            id="medicine." + row["generic"].replace(COMBINATION, "+").replace(" ", "-").replace("'", ""),
            source="Australian approved names and brands, compiled by hand; to be verified against the PBS item table",
            certainty="C",
            generic=row["generic"],
            classes=_listed(row["classes"]),
            brands=_listed(row["brands"]),
            synonyms=_listed(row["synonyms"]),
        )
    except (KeyError, AttributeError, ValidationError) as error:
        raise KnowledgeError(f"medicines.csv line {line} ({row}) has a fault: {error}", "Mend that line") from error


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(";")) if cell else ()


@cache
def medicine_classes() -> dict[str, MedicineClass]:
    """Classes by id."""
    return {fact.id: fact for fact in built_in(MedicineClass, "medicine_classes.yaml")}


@cache
def sayings() -> tuple[MedicineSaying, ...]:
    """How callers say medicines."""
    return built_in(MedicineSaying, "medicine_slang.yaml")


@cache
def interaction_rules() -> tuple[InteractionRule, ...]:
    """All interaction rules."""
    return built_in(InteractionRule, "interactions.yaml")


@cache
def cross_checks() -> tuple[CrossCheck, ...]:
    """All checks of a medicine against a patient."""
    return built_in(CrossCheck, "cross_checks.yaml")


@cache
def generics() -> frozenset[str]:
    """Every single substance, combinations taken apart."""
    return frozenset(part for medicine in medicines() for part in medicine.parts)


@cache
def members(name: str) -> frozenset[str]:
    """Generics that a class id or a generic stands for.

    Raises:
        KnowledgeError: there is no class and no generic of that name.
    """
    named = medicine_classes().get(name)
    if named is None:
        if name not in generics():
            raise KnowledgeError(f"{name!r} is no class and no generic of the medicine table", "Correct it, or add it to the table")
        return frozenset([name])
    inside = set(_of_rows().get(name, ())).union(named.members, *map(members, named.includes))
    if unknown := (inside | set(named.leaves_out)) - generics():
        raise KnowledgeError(f"class {name} names {sorted(unknown)}, which are no generics", "Correct them in medicine_classes.yaml")
    return frozenset(inside.difference(named.leaves_out))


def expand(names: tuple[str, ...], without: tuple[str, ...] = ()) -> frozenset[str]:
    """Generics of several class ids and generics, less those of `without`."""
    inside: frozenset[str] = frozenset().union(*map(members, names))
    return inside.difference(*map(members, without))


@cache
def _of_rows() -> dict[str, tuple[str, ...]]:
    rows: dict[str, list[str]] = defaultdict(list)
    for medicine in medicines():
        for name in medicine.classes:
            rows[name].append(medicine.generic)
    if unknown := set(rows) - set(medicine_classes()):
        raise KnowledgeError(f"medicines.csv names unknown classes {sorted(unknown)}", "Correct them, or add them to medicine_classes.yaml")
    return {name: tuple(listed) for name, listed in rows.items()}
