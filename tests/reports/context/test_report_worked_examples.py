"""The worked examples of the source book §7.4 and fresh cases like them, from YAML: base and variants."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from bedside.knowledge.report_facts import report_rules
from bedside.reports.assistant import Assessment, assess
from bedside.reports.model import DiagnosticReport, Finding, Span
from bedside.reports.patient_yaml import record_of_yaml
from bedside.reports.readers.values import interval, number
from bedside.reports.units import unit_of

HERE = Path(__file__).parent
VARIANTS = ("removed", "contradictory", "swap")


@cache
def cases(file: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load((HERE / file).read_text(encoding="utf-8"))
    return loaded


def finding(row: list[Any], place: int) -> Finding:
    name, value, unit, limits, flag, comment = row
    read = number(str(value))
    return Finding(
        name=name,
        text=f"{value} {unit}".strip(),
        value=read.value if read else None,
        comparator=read.comparator if read else "",
        unit=unit_of(unit) or unit,
        written_value=str(value),
        written_unit=unit,
        range=interval(limits),
        flag=flag,
        comments=(comment,) if comment else (),
        source=Span(file="report.hl7", path=f"OBX[{place}]"),
    )


def report_of(case: dict[str, Any]) -> DiagnosticReport:
    rows = [*case.get("findings", ()), *(["", text, "", "", "", ""] for text in case.get("says", ()))]
    findings = tuple(finding(row, place) for place, row in enumerate(rows, 1))
    return DiagnosticReport(
        kind=case["kind"], format="test", time=datetime(2026, 11, 20, 9), findings=findings, comments=tuple(case.get("comments", ()))
    )


def assessed(case: dict[str, Any]) -> Assessment:
    patient = case.get("patient")
    record = record_of_yaml(yaml.safe_dump(patient, allow_unicode=True), "patient.yaml") if patient else None
    return assess([report_of(case)], record)


def variant(case: dict[str, Any], name: str) -> dict[str, Any]:
    change = case[name]
    patient = change.get("patient", {})
    merged = None if patient is None else {key: value for key, value in {**case["patient"], **patient}.items() if value is not None}
    return {**case, **change, "patient": merged}


def faults(case: dict[str, Any]) -> list[str]:
    """What of a case's expectations does not hold."""
    found, expect = assessed(case), case["expect"]
    notes = {note.rule: note for note in (*found.notes, *found.quality)}
    text = " ".join(notes[rule].text for rule in notes).lower()
    missing = " | ".join(one.fact for one in found.missing)
    wrong = [f"{rule} did not fire" for rule in expect.get("rules", ()) if rule not in notes]
    wrong += [f"{rule} fired: {notes[rule].text}" for rule in expect.get("not", ()) if rule in notes]
    wrong += [f"no {words!r} in the notes" for words in expect.get("text", ()) if words not in text]
    wrong += [f"missing lacks {fact!r}" for fact in expect.get("missing", ()) if fact not in missing]
    first = next((notes[rule] for rule in expect.get("rules", ()) if rule in notes), None)
    if first and "urgency" in expect and all(notes[rule].urgency != expect["urgency"] for rule in expect["rules"] if rule in notes):
        wrong.append(f"{first.rule} is {first.urgency}")
    return [*wrong, *([f"fired: {sorted(notes)}", f"missing: {missing}"] if wrong else [])]


@pytest.mark.parametrize("name", ["base", *VARIANTS])
@pytest.mark.parametrize("case", cases("worked_examples.yaml"), ids=lambda case: f"example-{case['example']}")
def test_worked_example(case: dict[str, Any], name: str) -> None:
    assert faults(case if name == "base" else variant(case, name)) == []


def test_every_worked_example_has_a_rule_and_a_case() -> None:
    assert {number for rule in report_rules() for number in rule.examples} == set(range(1, 37))
    assert [case["example"] for case in cases("worked_examples.yaml")] == list(range(1, 37))


@pytest.mark.parametrize("case", cases("fresh_cases.yaml"), ids=lambda case: case["id"])
def test_fresh_case(case: dict[str, Any]) -> None:
    assert faults(case) == []
