"""Where the line may send a caller: the ten dispositions of `dispositions.yaml` and their order."""

from __future__ import annotations

from functools import cache, reduce

from pydantic import Field

from bedside.errors import KnowledgeError
from bedside.knowledge.facts import Fact, built_in


class Disposition(Fact):
    """One disposition; the fields are explained at the top of `dispositions.yaml`."""

    level: int = Field(ge=1)
    says: str
    action: str
    minutes: int | None = Field(ge=0)
    emergency: bool


@cache
def dispositions() -> dict[str, Disposition]:
    """All dispositions by id, most urgent first."""
    return {fact.id: fact for fact in sorted(built_in(Disposition, "dispositions.yaml"), key=lambda fact: -fact.level)}


def disposition(name: str) -> Disposition:
    """The disposition of that id.

    Raises:
        KnowledgeError: there is none.
    """
    try:
        return dispositions()[name]
    except KeyError:
        raise KnowledgeError(f"{name!r} is no disposition", f"Use one of {', '.join(dispositions())}") from None


def most_urgent(first: str, *others: str) -> str:
    """The least disposition that is as urgent as every one given.

    Two that share a level differ in kind; what is as urgent as both is the next level up: E_CRISIS with E_POISON is E000.

    Raises:
        KnowledgeError: one of them is no disposition.
    """
    return reduce(_join, others, disposition(first).id)


def _join(one: str, other: str) -> str:
    a, b = dispositions()[one], disposition(other)
    if a.level != b.level:
        return max(a, b, key=lambda fact: fact.level).id
    return one if one == other else min((d for d in dispositions().values() if d.level > a.level), key=lambda fact: fact.level).id
