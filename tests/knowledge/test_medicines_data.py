"""The medicine data hold together: every name leads somewhere, every rule names what exists, and the lists are as long as promised."""

from __future__ import annotations

from collections import Counter

import pytest

from bedside.errors import KnowledgeError
from bedside.knowledge.medicines import (
    cross_checks,
    expand,
    generics,
    interaction_rules,
    medicine_classes,
    medicines,
    members,
    sayings,
)
from bedside.safety.text import read


def test_table_covers_what_australian_clinics_meet() -> None:
    assert len(generics()) >= 900
    assert sum(len(medicine.brands) for medicine in medicines()) >= 1500


def test_ids_are_unique() -> None:
    facts = (*medicines(), *medicine_classes().values(), *sayings(), *interaction_rules(), *cross_checks())
    assert [name for name, times in Counter(fact.id for fact in facts).items() if times > 1] == []


def test_nothing_claims_a_review_that_has_not_been() -> None:
    facts = (*medicines(), *medicine_classes().values(), *sayings(), *interaction_rules(), *cross_checks())
    assert all(fact.reviewed_by is None and fact.reviewed_on is None for fact in facts)


def test_no_name_means_two_medicines() -> None:
    meanings: dict[str, set[str]] = {}
    for medicine in medicines():
        for name in (medicine.generic, *medicine.brands, *medicine.synonyms):
            meanings.setdefault(" ".join(token.word for token in read(name).tokens), set()).add(medicine.generic)
    assert {name: found for name, found in meanings.items() if len(found) > 1} == {}


def test_every_class_has_members_and_every_rule_two_sides() -> None:
    assert [name for name in medicine_classes() if not members(name)] == []
    for rule in interaction_rules():
        assert expand(rule.a, rule.a_not), rule.id
        assert expand(rule.b, rule.b_not), rule.id
    for check in cross_checks():
        assert expand(check.medicines, check.medicines_not), check.id


def test_what_callers_say_leads_to_a_medicine_or_a_class() -> None:
    names = {name.lower() for medicine in medicines() for name in (medicine.generic, *medicine.brands, *medicine.synonyms)}
    assert [fact.id for fact in sayings() if fact.means and fact.means not in names | set(medicine_classes())] == []


def test_class_that_is_not_there_is_named() -> None:
    with pytest.raises(KnowledgeError, match="beta_bloker"):
        members("beta_bloker")
