"""The rules name only what exists, cite where they come from, and say nothing that may not be said."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from bedside.knowledge.medicines import cross_checks, expand, interaction_rules
from bedside.knowledge.report_conditions import FACT_KINDS, Condition
from bedside.knowledge.report_facts import ReportRule, analytes, reference_intervals, report_rules, report_sums, report_terms, unit_key
from bedside.reports.contradictions import _FUNCTIONS, _names

FORBIDDEN = re.compile(
    r"\b(?:reassur\w*|nothing to worry|no concern|is safe|you have|take \d|give \d|increase the dose|reduce the dose|mg daily|is diagnosed|confirms)\b",
    re.IGNORECASE,
)


def inside(condition: Condition) -> Iterator[Condition]:
    yield condition
    for part in (*(condition.all or ()), *(condition.any or ()), *((condition.negated,) if condition.negated else ())):
        yield from inside(part)


def conditions() -> Iterator[tuple[str, Condition]]:
    for rule in report_rules():
        for condition in (*rule.when, *rule.given, *rule.unless, *(part for more in rule.also for part in more.given)):
            yield from ((rule.id, part) for part in inside(condition))


def test_rules_name_only_what_exists() -> None:
    interactions, checks = [rule.id for rule in interaction_rules()], [check.id for check in cross_checks()]
    for rule, condition in conditions():
        terms = [*(condition.says or ()), *(term for kind in FACT_KINDS if (test := getattr(condition, kind)) for term in test.any)]
        assert set(terms) <= report_terms().keys(), rule
        for test in (condition.result, condition.change):
            assert test is None or set(test.of) <= analytes().keys(), rule
        assert condition.takes is None or expand(condition.takes.any), rule
        assert all(any(known.startswith(name) for known in interactions) for name in condition.interaction or ()), rule
        assert all(any(known.startswith(name) for known in checks) for name in condition.caution or ()), rule


def test_every_term_is_used() -> None:
    used = {term for _, condition in conditions() for term in condition.says or ()}
    used |= {term for _, condition in conditions() for kind in FACT_KINDS if (test := getattr(condition, kind)) for term in test.any}
    assert set(report_terms()) - used == {"pregnancy"}  # asked by the context itself


def test_limits_and_sums_name_only_analytes() -> None:
    assert {row.analyte for row in reference_intervals()} <= analytes().keys()
    for rule in report_sums():
        assert _names(rule) <= analytes().keys() and not _names(rule) & _FUNCTIONS.keys()


def test_no_name_or_code_stands_for_two_analytes() -> None:
    for attribute in ("names", "loinc"):
        listed = [name for analyte in analytes().values() for name in getattr(analyte, attribute)]
        assert sorted({name for name in listed if listed.count(name) > 1}) == []


def test_units_of_an_analyte_are_different_units() -> None:
    for analyte in analytes().values():
        assert unit_key(analyte.unit) not in {unit_key(unit) for unit in analyte.units} - {""} or not analyte.unit, analyte.id


@pytest.mark.parametrize("rule", report_rules(), ids=lambda rule: rule.id)
def test_a_note_neither_doses_nor_reassures(rule: ReportRule) -> None:
    assert not FORBIDDEN.search(" ".join((rule.note, *(more.add for more in rule.also))))
    assert len(rule.source) > 15 and rule.title


@pytest.mark.parametrize("faulty", [{}, {"age": {"at_least": 1}, "sex": "male"}, {"ages": {}}, {"result": {"of": []}}, {"takes": {}}])
def test_a_faulty_condition_is_refused(faulty: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Condition.model_validate(faulty)
