"""Text reports whose columns are parted by runs of blanks: three layouts as Australian laboratories print them, with invented people."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.reports.model import DiagnosticReport, Finding
from bedside.reports.readers import ReportError, read_report

FLAG_COLUMN = """TEST LABORATORY PATHOLOGY
Patient: CITIZEN, ALEX    DOB: 02/03/1954   Sex: M
DOB:  02/03/1954   Collected:  20/11/2026

BIOCHEMISTRY

Test                Result   Flag  Units           Reference Range
------------------------------------------------------------------
Sodium              138            mmol/L          135 - 145
Potassium           6.3      H     mmol/L          3.5 - 5.2
eGFR                42       L     mL/min/1.73m2   > 60
Bilirubin (total)   <3             umol/L          < 20
Urine culture       Negative                       Negative
Widget factor       17.2     H     zU/L            1.0 - 9.0

Comment: Sample received at room temperature.
"""
INTERVAL_FIRST = """SAMPLE HAEMATOLOGY LAB
Patient: CITIZEN, ALEX

FULL BLOOD EXAMINATION
                         Result      Ref. Interval       Units
  Haemoglobin            * 98        130 - 180           g/L
  Platelets                420 H     150 - 400           x10^9/L
  MCV                       78 L     80 - 100            fL
  Haematocrit             0.30 L     0.40 - 0.54
  Neutrophils        68%   4.9       2.0 - 7.5           x10^9/L
"""
CUMULATIVE = """EXAMPLE PATHOLOGY - CUMULATIVE REPORT
Name: CITIZEN, ALEX

Date             12/05/26   20/08/26   20/11/26
Lab No           2611111    2622222    2633333     Units        Reference
Sodium           139        138        137         mmol/L       (135-145)
Potassium        4.4        4.9        *6.1        mmol/L       (3.5-5.2)
Haemoglobin      141        132                    g/L          (130-180)
"""


def read(text: str) -> DiagnosticReport:
    (report,) = read_report(text.encode(), "report.txt")
    return report


def rows(text: str) -> dict[str, tuple[object, ...]]:
    return {
        one.name: (one.value, one.unit, one.range and (one.range.low, one.range.high), one.flag)
        for one in read(text).findings
        if one.value is not None
    }


def found(text: str, name: str) -> Finding:
    return next(one for one in read(text).findings if one.name == name)


def test_a_column_of_flags_and_a_rule_below_the_header() -> None:
    assert rows(FLAG_COLUMN) == {
        "Sodium": (138, "mmol/L", (135, 145), ""),
        "Potassium": (6.3, "mmol/L", (3.5, 5.2), "H"),
        "eGFR": (42, "mL/min/{1.73_m2}", (60, None), "L"),
        "Bilirubin (total)": (3, "umol/L", (None, 20), ""),
        "Widget factor": (17.2, "", (1, 9), "H"),
    }
    report = read(FLAG_COLUMN)
    assert report.patient.family == "CITIZEN" and report.time and report.time.day == 20
    assert found(FLAG_COLUMN, "Bilirubin (total)").comparator == "<"
    assert [problem.reason for problem in report.problems] == ["unknown_unit"]
    assert not any("----" in one.text for one in report.findings)


def test_a_result_in_words_stands_with_its_name_and_expected_words() -> None:
    culture = found(FLAG_COLUMN, "Urine culture")
    assert (culture.value, culture.written_value, culture.range and culture.range.text) == (None, "Negative", "Negative")


def test_units_last_and_flags_before_and_behind_the_value() -> None:
    assert rows(INTERVAL_FIRST) == {
        "Haemoglobin": (98, "g/L", (130, 180), "*"),
        "Platelets": (420, "10*9/L", (150, 400), "H"),
        "MCV": (78, "fL", (80, 100), "L"),
        "Haematocrit": (0.3, "", (0.4, 0.54), "L"),
        "Neutrophils": (4.9, "10*9/L", (2, 7.5), ""),
    }
    assert not read(INTERVAL_FIRST).problems


def test_units_and_interval_before_the_result() -> None:
    text = "SAMPLE\n\nAnalyte              Units       Range          Result\nSodium               mmol/L      135-145        131 L\n"
    assert rows(text) == {"Sodium": (131, "mmol/L", (135, 145), "L")}


def test_of_a_cumulative_report_the_latest_day_counts_and_the_earlier_ones_are_told() -> None:
    assert rows(CUMULATIVE)["Potassium"] == (6.1, "mmol/L", (3.5, 5.2), "*")
    potassium, haemoglobin = found(CUMULATIVE, "Potassium"), found(CUMULATIVE, "Haemoglobin")
    assert potassium.comments == ("Earlier, 12/05/2026: 4.4", "Earlier, 20/08/2026: 4.9")
    assert potassium.time and haemoglobin.time and (potassium.time.month, haemoglobin.time.month, haemoglobin.value) == (11, 8, 132)
    assert any("2633333" in comment for comment in read(CUMULATIVE).comments)


def test_every_finding_points_at_its_own_line() -> None:
    for name in ("Sodium", "Potassium", "Haemoglobin"):
        span = found(CUMULATIVE, name).source
        assert CUMULATIVE[span.start : span.end].startswith(name) and "\n" not in CUMULATIVE[span.start : span.end]


@pytest.mark.parametrize(("first", "second", "kept"), [("12 May 26", "20-Aug-2026", "138"), ("20/08/2026", "12.05.2026", "139")])
def test_days_are_read_day_first_and_the_latest_counts_wherever_it_stands(first: str, second: str, kept: str) -> None:
    text = f"SAMPLE\n\nDate        {first:14}{second:14}Units\nSodium      139           138           mmol/L\n"
    assert found(text, "Sodium").written_value == kept


def test_many_headers_cost_little() -> None:
    started = time.process_time()
    read("Potassium 6.3 mmol/L\n" + "Result  Units  12/05/26  13/05/26\na  b  c  d  e\n" * 8000)
    assert time.process_time() - started < 4


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_other_line_ends_give_the_same_results(newline: str) -> None:
    assert rows(CUMULATIVE.replace("\n", newline)) == rows(CUMULATIVE)


CELLS = st.sampled_from(
    ["Sodium", "138", "6.3 H", "Units", "Result", "Range", "12/05/26", "20/08/26", "mmol/L", "3.5-5.2", "|", "\t", "  ", ""]
)


@given(st.lists(st.lists(CELLS, max_size=8).map("   ".join), max_size=12).map("\n".join))
@settings(max_examples=150, deadline=None)
def test_any_order_of_cells_is_read_or_refused(text: str) -> None:
    try:
        reports = read_report(text.encode() or b" ", "report.txt")
    except ReportError:
        return
    for report in reports:
        for one in report.findings:
            assert one.value is None or one.written_value in text
