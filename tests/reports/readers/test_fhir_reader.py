"""FHIR R4 results: references, components, absent values, signals, and faults that cost one element only."""

from __future__ import annotations

import json
import math
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from report_samples import FHIR

from bedside.reports.readers import ReportError, excerpt, read_report


def observation(**more: Any) -> bytes:
    return json.dumps({"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "Potassium"}, **more}).encode()


def test_a_bundle_is_read_with_its_references() -> None:
    report, loose = read_report(FHIR, "b.json")
    assert (report.id, report.title, report.status, report.patient.family) == ("r1", "Chemistry", "final", "Citizen")
    assert (report.patient.birth_date, report.patient.identifiers) == (date(1962, 4, 3), {"medicare": "2950341791"})
    potassium, systolic, diastolic, conclusion = report.findings
    assert (potassium.value, potassium.comparator, potassium.written_value, potassium.flag) == (6.3, ">=", "6.30", "H")
    assert (potassium.code, potassium.system, potassium.comments) == ("2823-3", "loinc", ("haemolysis ++",))
    assert (systolic.value, systolic.unit, systolic.written_unit) == (158, "mm[Hg]", "mmHg")
    assert (diastolic.value, diastolic.text) == (None, "Diastolic: no result (Not Performed)")
    assert conclusion.text == "Haemolysed. Please repeat."
    assert [problem.detail.split(" is ")[0] for problem in report.problems if problem.reason == "missing_result"] == ["Sodium"]
    assert excerpt(FHIR, potassium.source).startswith('{"resourceType": "Observation", "id": "o1"')
    (signal,) = loose.signals
    assert (signal.unit, signal.rate) == ("mV", 500)
    assert signal.values[:2].tolist() == [0.1, 0.2]
    assert math.isnan(signal.values[2])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"valueCodeableConcept": {"text": "Not detected"}}, "Potassium Not detected"),
        ({"valueBoolean": True}, "Potassium yes"),
        ({"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}}, "Potassium 1:128"),
        ({"valueRange": {"low": {"value": 1}, "high": {"value": 2, "unit": "g/L"}}}, "Potassium 1 - 2 g/L"),
        ({"dataAbsentReason": {"text": "masked"}}, "Potassium: no result (masked)"),
        ({}, "Potassium: no result"),
    ],
)
def test_values_in_words(value: dict[str, Any], text: str) -> None:
    (report,) = read_report(observation(**value), "o.json")
    assert [(finding.value, finding.text) for finding in report.findings] == [(None, text)]


def test_what_was_entered_in_error_is_a_problem() -> None:
    (report,) = read_report(observation(status="entered-in-error", valueQuantity={"value": 6.3}), "o.json")
    assert not report.findings
    assert [problem.reason for problem in report.problems] == ["cancelled"]


@pytest.mark.parametrize(
    "fault", [{"code": 3}, {"component": "x"}, {"valueQuantity": [1]}, {"subject": None}, {"referenceRange": [{"low": 3}]}, {"note": {}}]
)
def test_a_fault_in_one_element_does_not_lose_the_report(fault: dict[str, Any]) -> None:
    (report,) = read_report(observation(**{"valueString": "seen", **fault}), "o.json")
    assert report.findings or report.problems


def test_a_member_of_itself_ends() -> None:
    (report,) = read_report(observation(hasMember=[{"reference": "Observation/o"}]), "o.json")
    assert "circular" in [problem.reason for problem in report.problems]


def test_lines_that_are_no_json_are_told_and_the_others_read() -> None:
    (report,) = read_report(observation(valueInteger=5) + b"\n{broken\n", "o.ndjson")
    assert report.findings[0].value == 5
    assert [problem.reason for problem in report.problems] == ["bad_json"]
    with pytest.raises(ReportError, match="is no JSON"):
        read_report(b'{"resourceType": "Observation",', "o.json")


def test_australian_test_data_is_read() -> None:
    folder = Path(os.environ.get("BEDSIDE_DATA", "")) / "au_fhir_testdata"
    if not os.environ.get("BEDSIDE_DATA") or not folder.is_dir():
        pytest.skip("BEDSIDE_DATA names no folder with au_fhir_testdata")
    data = (folder / "Observation.jsonl").read_bytes()
    reports = read_report(data, "Observation.jsonl")
    cancelled = sum(problem.reason == "cancelled" for report in reports for problem in report.problems)
    assert sum(len(report.findings) for report in reports) + cancelled >= 72
    assert not [
        problem for report in reports for problem in report.problems if problem.reason in ("unknown_unit", "impossible_unit", "bad_number")
    ]
