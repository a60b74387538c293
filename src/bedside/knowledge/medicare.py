"""Medicare and PBS rules as dated facts: rules, MBS items, their fees, and health assessments.

A rule that changes has one fact for each period; they share a `family`, and the day of the service picks the one in force.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import cache
from typing import Literal

from pydantic import Field, model_validator

from bedside.knowledge.facts import Fact, built_in

Level = Literal["A", "B", "C", "D", "E"]
Mode = Literal["face_to_face", "video", "phone"]


class Rule(Fact):
    """One rule in words and numbers.

    Attributes:
        family: what its versions share; its own id where there is one version only.
        text: the rule in one or two sentences.
        months: length of its period in calendar months.
        count: services in a calendar year, or patients in a day.
        values: its numbers by name: minutes, hours of the day, dollars.
        items: MBS items by name.
        words: names that facts may use for what the rule is about.
    """

    family: str = ""
    text: str = Field(min_length=10)
    months: int | None = Field(default=None, ge=1)
    count: int | None = Field(default=None, ge=1)
    values: dict[str, Decimal] = Field(default_factory=dict)
    items: dict[str, str] = Field(default_factory=dict)
    words: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _own_family(cls, entry: dict[str, object]) -> dict[str, object]:
        return {"family": entry.get("id"), **entry}


class Item(Fact):
    """One MBS item; `valid_from` and `valid_to` are the first and last day on which it could be claimed.

    Attributes:
        item: its number.
        name: what it is, in a few words.
        level: of a time-tiered attendance; None for all other items.
        mode: how the patient is seen.
        mymedicare: only for patients registered at the practice through MyMedicare.
    """

    item: str = Field(pattern=r"^\d{1,5}$")
    name: str
    level: Level | None = None
    mode: Mode = "face_to_face"
    mymedicare: bool = False
    valid_from: date


class Fee(Fact):
    """What the schedule pays for items over a period, in dollars; `benefit` is that of a patient out of hospital."""

    items: tuple[str, ...]
    fee: Decimal
    benefit: Decimal


class Assessment(Fact):
    """One kind of health assessment.

    Attributes:
        words: the names that facts may use for it.
        items: MBS items that may be claimed for it.
        min_age, max_age: years, both included; None: no bound; with `max_age` there is always `min_age`.
        months: calendar months that must have passed since the last one; None: once in a lifetime.
    """

    words: tuple[str, ...]
    text: str
    items: tuple[str, ...]
    min_age: int | None = None
    max_age: int | None = None
    months: int | None = Field(default=None, ge=1)


@cache
def rules() -> dict[str, tuple[Rule, ...]]:
    """The rules of Medicare and the PBS by family, each family oldest first."""
    families: dict[str, tuple[Rule, ...]] = {}
    facts = built_in(Rule, "medicare.yaml") + built_in(Rule, "pbs.yaml")
    for fact in sorted(facts, key=lambda fact: fact.valid_from or date.min):
        families[fact.family] = (*families.get(fact.family, ()), fact)
    return families


@cache
def items() -> dict[str, Item]:
    """The MBS items that rules speak of, by number."""
    return {fact.item: fact for fact in built_in(Item, "mbs_items.yaml")}


@cache
def fees() -> tuple[Fee, ...]:
    """Schedule fees that are known without an imported schedule."""
    return built_in(Fee, "mbs_fees.yaml")


@cache
def assessments() -> tuple[Assessment, ...]:
    """The kinds of health assessment."""
    return built_in(Assessment, "health_assessments.yaml")
