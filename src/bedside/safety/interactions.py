"""Which medicines should be checked before they are taken together.

Names may be brands, generics, classes, slang or misspelt. A name that is not known is never said to be without interactions. Tables that
a user has imported (`bedside.safety.importers`) are asked beside the built-in rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Literal, Protocol

from bedside.knowledge.medicines import InteractionRule, Severity, expand, interaction_rules
from bedside.safety.medicines import Resolved, resolve

Outcome = Literal["contraindicated", "major", "moderate", "minor", "none", "unknown"]

ORDER: tuple[Severity, ...] = ("minor", "moderate", "major", "contraindicated")
"""Severities from the least to the worst."""

SAME_SUBSTANCE = "ddi.same-substance"
"""The rule that fires where two names hold the same substance."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why two or three medicines should be checked.

    Attributes:
        rule: id of the rule, or the row of an imported table.
        severity: how bad it can be.
        medicines: the substances that it fired on.
        mechanism, effect: how it comes about and what can happen, in a few words; "" where the table does not say.
        wording: id of the approved text that may be said; a table has none of its own.
        source: where the rule was read.
        certainty: of the fact; a table's is B.
    """

    rule: str
    severity: Severity
    medicines: tuple[str, ...]
    mechanism: str
    effect: str
    wording: str
    source: str
    certainty: str


@dataclass(frozen=True, slots=True)
class Interaction:
    """What is known of medicines taken together: the worst severity, and every reason, worst first."""

    severity: Outcome
    rules: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """Medicines of a list, as they were named, and what is known of them together."""

    medicines: tuple[str, ...]
    interaction: Interaction


class Table(Protocol):
    """An imported table of interactions."""

    def between(self, one: str, other: str) -> tuple[Reason, ...]:
        """Reasons for two generics, in either order."""


def check(a: str, b: str, *, tables: Sequence[Table] = ()) -> Interaction:
    """What is known of two medicines taken together; the order does not matter.

    Returns:
        `none` only where both names are known wholly and no rule fires; `unknown` where one is not known and nothing fires.
    """
    one, other = resolve(a), resolve(b)
    reasons = _pairwise(one, other, tables) if one and other else ()
    return Interaction(_worst(reasons, whole=_whole(one) and _whole(other)), reasons)


def check_list(medicines: Iterable[str], *, tables: Sequence[Table] = ()) -> tuple[Finding, ...]:
    """All pairs and threesomes of a list that have a reason to be checked or a name that is not known; worst first."""
    named = list(medicines)
    resolved = {name: resolve(name) for name in named}
    findings = [Finding(pair, result) for pair in combinations(named, 2) if (result := check(*pair, tables=tables)).severity != "none"]
    for three in combinations(named, 3):
        known = [found for name in three if (found := resolved[name])]
        if len(known) == 3 and (reasons := _threesome(known)):
            findings.append(Finding(three, Interaction(_worst(reasons, whole=True), reasons)))
    return tuple(sorted(findings, key=lambda finding: -_rank(finding.interaction.severity)))


def _rank(outcome: Outcome) -> int:
    return ORDER.index(outcome) + 1 if outcome in ORDER else 0


def _whole(found: Resolved | None) -> bool:
    return found is not None and found.whole


def _worst(reasons: tuple[Reason, ...], *, whole: bool) -> Outcome:
    if reasons:
        return reasons[0].severity
    return "none" if whole else "unknown"


def _pairwise(one: Resolved, other: Resolved, tables: Sequence[Table]) -> tuple[Reason, ...]:
    found: dict[str, Reason] = {}
    for first in sorted(one.substances):
        for second in sorted(other.substances):
            if first != second:
                reasons = [*_between(first, second), *(reason for table in tables for reason in table.between(first, second))]
            else:
                reasons = [_reason(_rules().same, (first,))] if first in one.generics & other.generics else []
            for reason in reasons:
                found.setdefault(reason.rule, reason)
    return _sorted(found.values())


def _sorted(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    return tuple(sorted(reasons, key=lambda reason: (-ORDER.index(reason.severity), reason.rule)))


def _between(one: str, other: str) -> list[Reason]:
    rules = _rules()
    hits = (rules.in_a[one] & rules.in_b[other]) | (rules.in_a[other] & rules.in_b[one])
    return [_reason(rules.pairs[number], (one, other)) for number in hits]


def _threesome(three: list[Resolved]) -> tuple[Reason, ...]:
    reasons = []
    for rule, a, b, c in _rules().threes:
        for first, second, third in ((x, y, z) for x in range(3) for y in range(3) for z in range(3) if len({x, y, z}) == 3):
            hit = [sorted(three[place].substances & side) for place, side in ((first, a), (second, b), (third, c))]
            if all(hit):
                reasons.append(_reason(rule, tuple(names[0] for names in hit)))
                break
    return _sorted(reasons)


def _reason(rule: InteractionRule, medicines: tuple[str, ...]) -> Reason:
    return Reason(rule.id, rule.severity, medicines, rule.mechanism, rule.effect, rule.wording, rule.source, rule.certainty)


@dataclass(frozen=True, slots=True)
class _Rules:
    """Rules by the generics of their sides.

    Attributes:
        same: the rule for one substance under two names.
        pairs: the rules for two medicines.
        in_a, in_b: for each generic, the numbers of the `pairs` that have it on that side.
        threes: the rules for three medicines, with their sides.
    """

    same: InteractionRule
    pairs: tuple[InteractionRule, ...]
    in_a: defaultdict[str, frozenset[int]]
    in_b: defaultdict[str, frozenset[int]]
    threes: tuple[tuple[InteractionRule, frozenset[str], frozenset[str], frozenset[str]], ...]


@cache
def _rules() -> _Rules:
    pairs = tuple(rule for rule in interaction_rules() if not rule.c and rule.id != SAME_SUBSTANCE)
    same = next(rule for rule in interaction_rules() if rule.id == SAME_SUBSTANCE)
    threes = tuple((rule, expand(rule.a, rule.a_not), expand(rule.b, rule.b_not), expand(rule.c)) for rule in interaction_rules() if rule.c)
    return _Rules(
        same,
        pairs,
        _numbered(expand(rule.a, rule.a_not) for rule in pairs),
        _numbered(expand(rule.b, rule.b_not) for rule in pairs),
        threes,
    )


def _numbered(sides: Iterable[frozenset[str]]) -> defaultdict[str, frozenset[int]]:
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for number, side in enumerate(sides):
        for generic in side:
            numbers[generic].add(number)
    return defaultdict(frozenset, {generic: frozenset(found) for generic, found in numbers.items()})
