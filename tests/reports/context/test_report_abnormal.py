"""Every abnormal result is found and says by what; contradictions and quality; wrong units are never compared."""

from __future__ import annotations

from typing import Any

import pytest
from test_report_worked_examples import report_of

from bedside.reports.assistant import as_json, assess
from bedside.reports.contradictions import ckd_epi
from bedside.reports.model import Measured, Problem, QualityNote, Span
from bedside.reports.patient_yaml import record_of_yaml


def rules(rows: list[list[Any]], kind: str = "laboratory", patient: str = "", **more: Any) -> dict[str, str]:
    record = record_of_yaml(patient, "patient.yaml") if patient else None
    found = assess([report_of({"kind": kind, "findings": rows, **more})], record)
    return {note.rule: note.text for note in (*found.notes, *found.quality)}


@pytest.mark.parametrize(
    ("row", "rule", "words"),
    [
        (["Zinc", 7, "umol/L", "10-18", "L", ""], "abnormal.flag", "flagged L"),
        (["Zinc", 7, "umol/L", "10-18", "", ""], "abnormal.own-range", "outside the report's range 10-18"),
        (["Sodium", 150, "mmol/L", "", "", ""], "abnormal.harmonised-interval", "135–145"),
        (["Glucose", 26, "mmol/L", "", "", ""], "abnormal.alert-limit", "At or beyond an alert limit"),
        (["Hepatitis C antibody", "DETECTED", "", "Not detected", "", ""], "abnormal.own-range", "abnormal"),
        (["Culture", "Growth", "", "", "A", ""], "abnormal.flag", "flagged A"),
        (["TSH", "<0.01", "mU/L", "0.4-4.0", "", ""], "abnormal.own-range", "<0.01"),
    ],
)
def test_an_abnormal_result_says_by_what(row: list[Any], rule: str, words: str) -> None:
    assert words in rules([row])[rule]


@pytest.mark.parametrize(
    "row",
    [
        ["Sodium", 150, "mmol/L", "135-155", "", ""],
        ["Potassium", 4.0, "mmol/L", "", "", ""],
        ["Creatinine", 100, "umol/L", "", "", ""],  # outside for women only, and the sex is not known
        ["eGFR", ">90", "mL/min/1.73m2", "", "", ""],
    ],
)
def test_a_result_within_its_limits_is_not_called_abnormal(row: list[Any]) -> None:
    assert not [rule for rule in rules([row]) if rule.startswith("abnormal")]


def test_an_unflagged_abnormal_result_carries_a_calculated_flag() -> None:
    found = as_json(assess([report_of({"kind": "laboratory", "findings": [["Sodium", 150, "mmol/L", "", "", ""]]})]))
    assert found["findings"][0] == {
        "code": "", "text": "Sodium: 150 mmol/L", "value": 150.0, "unit": "mmol/L", "range": "", "flag": "H (calculated)", "source": "report.hl7 OBX[1]",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        ([["Zinc", 12, "umol/L", "10-18", "H", ""]], "contradiction.flag"),
        ([["Zinc", 22, "umol/L", "10-18", "N", ""]], "contradiction.flag"),
        ([["Zinc", 7, "umol/L", "10-18", "H", ""]], "contradiction.flag"),
        ([["Potassium", 43, "mmol/L", "", "", ""]], "contradiction.impossible"),
        ([["Potassium", 4.3, "mg/dL", "", "", ""]], "contradiction.unit"),
        ([["Potassium", 4.3, "", "", "", ""]], "quality.no-unit"),
        ([["HbA1c", 48, "mmol/mol", "", "", ""], ["HbA1c", 9.5, "%", "", "", ""]], "contradiction.double"),
        (
            [["Total cholesterol", 5, "mmol/L", "", "", ""], ["HDL", 1.5, "mmol/L", "", "", ""], ["Non-HDL", 4.4, "mmol/L", "", "", ""]],
            "contradiction.sum-non-hdl",
        ),
        (
            [["Haemoglobin", 140, "g/L", "", "", ""], ["RBC", 4.5, "10*12/L", "", "", ""], ["MCH", 22, "pg", "", "", ""]],
            "contradiction.sum-mch",
        ),
    ],
)
def test_a_report_that_disagrees_with_itself_says_so(rows: list[list[Any]], rule: str) -> None:
    assert rule in rules(rows)


@pytest.mark.parametrize(
    "rows",
    [
        [["HbA1c", 48, "mmol/mol", "", "", ""], ["HbA1c", 6.5, "%", "", "", ""]],
        [["Haemoglobin", 140, "g/L", "130-180", "N", ""], ["RBC", 4.6, "10*12/L", "", "", ""], ["MCH", 30.4, "pg", "", "", ""]],
        [["FEV1", 2.4, "L", "", "", ""], ["FVC", 3.4, "L", "", "", ""], ["FEV1/FVC", 70.6, "%", "", "", ""]],
        [["QT", 400, "ms", "", "", ""], ["Heart rate", 72, "bpm", "", "", ""], ["QTc", 425, "ms", "", "", ""]],
        [
            ["Sodium", 140, "mmol/L", "", "", ""],
            ["Chloride", 104, "mmol/L", "", "", ""],
            ["Bicarbonate", 26, "mmol/L", "", "", ""],
            ["Anion gap", 10, "mmol/L", "", "", ""],
        ],
    ],
)
def test_a_report_that_agrees_with_itself_is_left_alone(rows: list[list[Any]]) -> None:
    assert not [rule for rule in rules(rows) if rule.startswith("contradiction")]


@pytest.mark.parametrize(
    ("creatinine", "age", "sex", "year", "expected"),
    [(80, 50, "female", 2009, 75), (100, 60, "male", 2009, 71), (100, 60, "male", 2021, 75)],
)
def test_egfr_by_ckd_epi(creatinine: float, age: float, sex: str, year: int, expected: float) -> None:
    """Expected values by the published equations, worked out by hand to the nearest whole number ± 1."""
    assert ckd_epi(creatinine, age, sex, year) == pytest.approx(expected, abs=1.0)


def test_egfr_of_another_age_is_a_contradiction_only_where_age_and_sex_are_known() -> None:
    rows = [["Creatinine", 250, "umol/L", "", "", ""], ["eGFR", 85, "mL/min/1.73m2", "", "", ""]]
    assert "contradiction.sum-egfr" not in rules(rows)
    assert "contradiction.sum-egfr" in rules(rows, patient="{age: 60, sex: male}")


def test_quality_comes_with_problems_of_the_file_and_of_the_recording() -> None:
    report = report_of({"kind": "ecg"}).model_copy(
        update={"problems": (Problem(reason="truncated", detail="the file ends early", source=Span(file="a")),)}
    )
    measured = Measured(quality=(QualityNote(code="flat_lead", text="V2 is flat", source=Span(file="a", path="V2"), grave=True),))
    found = as_json(assess([report], measured=[measured]))
    assert [(note["rule"], note["urgency"]) for note in found["quality"]] == [
        ("quality.flat-lead", "same_day"),
        ("quality.truncated", "information"),
    ]
    assert found["summary"].startswith("V2 is flat.")


def test_an_unknown_medicine_is_said_to_be_unchecked() -> None:
    assert (
        "nothing was checked"
        in rules([["Potassium", 4, "mmol/L", "", "", ""]], patient="medicines: [zzyqx 5 mg]")["quality.unknown-medicine"]
    )


def test_a_log_of_statements_is_cut_and_says_so() -> None:
    found = rules([], kind="ecg", says=[f"Beat {number}" for number in range(2100)])
    assert found["quality.too-long"].startswith("100 statements")
