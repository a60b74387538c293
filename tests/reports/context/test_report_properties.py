"""What must hold of every assessment: unrelated facts change nothing, order does not matter, no number comes from nowhere."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from test_report_worked_examples import VARIANTS, assessed, cases, report_of, variant

from bedside.knowledge.report_facts import report_rules
from bedside.reports.assistant import Assessment, as_json, assess
from bedside.reports.model import Finding, Span
from bedside.reports.patient_yaml import record_of_yaml
from bedside.reports.trends import Change

NUMBER = re.compile(r"\d+(?:\.\d+)?")
ALL = [case if name == "base" else variant(case, name) for case in cases("worked_examples.yaml") for name in ("base", *VARIANTS)] + cases(
    "fresh_cases.yaml"
)
UNRELATED = [
    {"allergies": ["penicillin rash in childhood"]},
    {"conditions": ["hay fever since school"]},
    {"events": ["moved house"]},
    {"notes": ["prefers letters"]},
    {"results": [{"name": "Hearing threshold", "value": 20, "unit": "dB", "date": "2020-02-02"}]},
]
cases_of_any_kind = st.sampled_from(ALL)


def told(found: Assessment) -> list[tuple[str, str, str]]:
    return [(note.rule, note.text, note.urgency) for note in found.notes]


@settings(max_examples=60, deadline=None)
@given(case=cases_of_any_kind, added=st.sampled_from(UNRELATED))
def test_an_unrelated_fact_changes_no_note(case: dict[str, Any], added: dict[str, Any]) -> None:
    patient = case.get("patient") or {}
    (key,) = added
    if key not in patient and key in ("conditions", "events"):
        return  # a list that was not on record becomes known, which is no unrelated fact
    more = {**patient, key: [*patient.get(key, []), *added[key]]}
    assert told(assessed({**case, "patient": more})) == told(assessed(case))


@settings(max_examples=60, deadline=None)
@given(case=cases_of_any_kind, seed=st.integers(0, 10_000))
def test_the_order_of_findings_and_of_the_record_does_not_matter(case: dict[str, Any], seed: int) -> None:
    shuffled = random.Random(seed)
    report = report_of(case)
    findings = list(report.findings)
    shuffled.shuffle(findings)
    patient = {
        key: shuffled.sample(value, len(value)) if isinstance(value, list) else value for key, value in (case.get("patient") or {}).items()
    }
    record = record_of_yaml(yaml.safe_dump(patient), "patient.yaml") if patient else None
    assert told(assess([report.model_copy(update={"findings": tuple(findings)})], record)) == told(assessed(case))


@pytest.mark.parametrize("case", ALL[::3], ids=lambda case: str(case.get("example") or case.get("id")))
def test_the_same_input_gives_the_same_bytes(case: dict[str, Any]) -> None:
    assert json.dumps(as_json(assessed(case))) == json.dumps(as_json(assessed(case)))


@pytest.mark.parametrize("case", ALL, ids=lambda case: str(case.get("example") or case.get("id")))
def test_no_number_comes_from_nowhere(case: dict[str, Any]) -> None:
    """Each number of a note stands in its rule or in its reasons, and each number of a reason in the input, or follows from it."""
    found = assessed(case)
    templates = {rule.id: " ".join((rule.note, *(more.add for more in rule.also))) for rule in report_rules()}
    given_numbers = set(NUMBER.findall(json.dumps({key: value for key, value in case.items() if key != "expect"}, default=str)))
    context = found.context
    for one in context.readings:
        if one.value is not None and one.analyte is not None:
            given_numbers |= set(NUMBER.findall(f"{one.value:.3g} {one.value:.0f} {one.analyte.unit} {one.analyte.label} {one}"))
    for listed in context.earlier.values():
        given_numbers |= {number for one in listed for number in NUMBER.findall(f"{one} {one.day}")}
        given_numbers |= {
            number
            for one in listed
            for now in context.present.get(listed[0].analyte.key, ())[:1]
            for number in NUMBER.findall(str(Change(one, now)))
        }  # type: ignore[union-attr]
    for listed in context.present.values():
        given_numbers |= {number for one in listed[1:] for number in NUMBER.findall(str(Change(one, listed[0])))}
    given_numbers |= set(NUMBER.findall(f"{context.age or 0:g} {context.bmi or 0:g} {(context.age or 0) * 0.01:.3g}"))
    for note in (*found.notes, *found.quality):
        if note.rule in templates:
            reasons = " ".join(reason.text for reason in note.because)
            assert set(NUMBER.findall(note.text)) <= set(NUMBER.findall(f"{templates[note.rule]} {reasons}"))
            named = {
                number for reason in note.because if reason.kind in ("interaction", "caution") for number in NUMBER.findall(reason.text)
            }
            assert set(NUMBER.findall(reasons)) <= given_numbers | named, note


@settings(max_examples=80, deadline=None)
@given(
    value=st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.none()),
    unit=st.sampled_from(["mmol/L", "mg/dL", "", "%", "furlong", "mm[Hg]"]),
    name=st.sampled_from(["Potassium", "QTc", "SpO2", "no such test", "", "Glucose"]),
    flag=st.sampled_from(["H", "LL", "", "N", "?", "*"]),
    text=st.text(max_size=60),
)
def test_no_finding_breaks_an_assessment(value: float | None, unit: str, name: str, flag: str, text: str) -> None:
    finding = Finding(name=name, text=text, value=value, unit=unit, flag=flag, source=Span(file="f", path="p"))
    report = report_of({"kind": "laboratory"}).model_copy(update={"findings": (finding, finding)})
    json.dumps(as_json(assess([report])))
