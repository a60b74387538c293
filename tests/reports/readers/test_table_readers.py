"""Tables: glucose sensors, blood-pressure monitors, spirometers, laboratory lists."""

from __future__ import annotations

import json
import math
import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from report_samples import ABPM, DEXCOM, LABORATORY, LIBRE, SPIROMETRY, workbook

from bedside.reports.model import DiagnosticReport, Signal
from bedside.reports.readers import ReportError, read_report


def one(data: bytes) -> DiagnosticReport:
    (report,) = read_report(data, "a.csv")
    return report


def signal(report: DiagnosticReport, name: str) -> Signal:
    return next(signal for signal in report.signals if signal.name == name)


def reasons(report: DiagnosticReport) -> list[str]:
    return [problem.reason for problem in report.problems]


def test_a_libre_export() -> None:
    report = one(LIBRE)
    assert (report.kind, report.time, report.device) == ("glucose", datetime(2026, 3, 20, 17, 38), "FreeStyle Libre 2 INV123")
    glucose = signal(report, "glucose")
    assert (glucose.unit, glucose.values.tolist()) == ("mmol/L", [7.1, 2.2, 6.2])
    assert glucose.times is not None
    assert glucose.times.tolist() == [0, 900, 1800]
    assert signal(report, "glucose_scan").values.tolist() == [6.6]
    assert sorted(reasons(report)) == ["beyond_device", "duplicate_row", "not_read"]


def test_a_dexcom_workbook() -> None:
    report = one(DEXCOM)
    assert (report.patient.family, report.patient.given, report.device) == ("Citizen", "Jan", "Invented G6")
    assert signal(report, "glucose").values.tolist() == [6.4, 2.2, 6.9]
    assert sorted(reasons(report)) == ["beyond_device", "not_read"], "the alert at 11.1 is no reading"


def test_a_list_without_unit_is_told_and_each_person_is_a_report() -> None:
    data = b"id,time,gl\nA,2026-03-01 00:00:00,153\nA,2026-03-01 00:05:00,137\nB,2026-03-01 00:00:00,6.1\n"
    first, second = read_report(data, "gl.csv")
    assert (signal(first, "glucose").unit, signal(second, "glucose").unit) == ("mg/dL", "mmol/L")
    assert reasons(first) == ["unit_inferred"]


def test_rows_out_of_order_and_a_clock_set_back() -> None:
    rows = [
        f"2026-04-05 {clock},{value}" for clock, value in (("02:50", 5.1), ("02:55", 5.2), ("02:00", 5.3), ("02:05", 5.4), ("01:50", 5.0))
    ]
    report = one(("timestamp,glucose (mmol/L)\n" + "\n".join(rows)).encode())
    glucose = signal(report, "glucose")
    assert glucose.times is not None
    assert (np.diff(glucose.times) >= 0).all()
    assert glucose.values.tolist() == [5.0, 5.3, 5.4, 5.1, 5.2]
    assert reasons(report) == ["clock_changed", "out_of_order"]


@pytest.mark.parametrize(
    ("days", "expected", "unsure"),
    [
        (["03-20-2026 05:38 PM", "03-21-2026 05:38 PM"], datetime(2026, 3, 20, 17, 38), False),
        (["20/03/2026 17:38", "21/03/2026 17:38"], datetime(2026, 3, 20, 17, 38), False),
        (["03-04-2026 10:00", "03-05-2026 10:00", "03-06-2026 10:00"], datetime(2026, 3, 4, 10), False),
        (["05/04/2026 10:00"], datetime(2026, 4, 5, 10), True),
    ],
)
def test_the_order_of_day_and_month_is_told_by_the_whole_column(days: list[str], expected: datetime, unsure: bool) -> None:
    report = one(("timestamp,glucose (mmol/L)\n" + "\n".join(f"{day},5.5" for day in days)).encode())
    assert report.signals[0].start == expected
    assert ("unsure_dates" in reasons(report)) is unsure


def test_a_day_of_blood_pressures() -> None:
    report = one(ABPM)
    assert (report.kind, report.device, report.patient.family) == ("blood_pressure", "Invented ABPM 1", "CITIZEN")
    systolic = signal(report, "systolic")
    assert systolic.unit == "mm[Hg]"
    assert (systolic.values[0], math.isnan(systolic.values[1]), systolic.values[2]) == (145, True, 120)
    assert signal(report, "asleep").values.tolist() == [0, 0, 1]
    assert reasons(report) == ["failed_measurement"]


def test_a_home_list_without_times() -> None:
    report = one(b"BP,Pulse\n145/92,70\n150/95,72\n")
    assert [finding.value for finding in report.findings] == [145, 92, 70, 150, 95, 72]


def test_spirometry_down_and_across() -> None:
    down = one(SPIROMETRY)
    value = {finding.name: finding.value for finding in down.findings}
    assert (value["FEV1"], value["FEV1 post"], value["FEV1 z-score"], value["FEV1 predicted"], value["FEV1/FVC"]) == (
        2.1,
        2.5,
        -2.1,
        3.0,
        0.6,
    )
    fev1 = down.findings[0]
    assert fev1.range
    assert (fev1.range.low, fev1.method, fev1.code) == (2.4, "pre-bronchodilator", "20150-9")
    assert [finding.text for finding in down.findings if finding.name == "Quality"] == ["A"]
    across = one(
        b"Patient ID;Date;FEV1 (L);FEV1 Pred (L);FEV1 LLN;FEV1 z-score;FEV1 %Pred;FVC (L);FEV1/FVC;FEV1 Post (L);Quality\n"
        b"P1;12.03.2026;2,10;3,00;2,40;-2,1;70;3,50;0,60;2,50;B\n"
    )
    other = {finding.name: finding.value for finding in across.findings}
    assert {name: other[name] for name in ("FEV1", "FEV1 post", "FEV1 z-score", "FEV1 predicted", "FEV1 % predicted")} == {
        "FEV1": 2.1,
        "FEV1 post": 2.5,
        "FEV1 z-score": -2.1,
        "FEV1 predicted": 3.0,
        "FEV1 % predicted": 70.0,
    }


def test_a_laboratory_list() -> None:
    potassium, egfr, culture, platelets = one(LABORATORY).findings
    assert (potassium.value, potassium.flag, potassium.comments) == (6.3, "H", ("haemolysed",))
    assert (egfr.comparator, egfr.value, egfr.code) == (">", 90, "62238-1")
    assert (culture.value, culture.written_value) == (None, "No growth")
    assert (platelets.value, platelets.unit) == (1234, "10*9/L")
    assert reasons(one(LABORATORY)) == ["unsure_number"]


def test_a_workbook_of_something_else_is_refused() -> None:
    with pytest.raises(ReportError, match=r"no columns that are known; it begins with Shopping, Amount"):
        read_report(workbook([["Shopping", "Amount"], ["Milk", 2]]), "list.xlsx")


def test_real_exports_have_the_readings_that_their_reference_counts() -> None:
    folder = Path(os.environ.get("BEDSIDE_DATA", "")) / "cgm_exports"
    if not os.environ.get("BEDSIDE_DATA") or not folder.is_dir():
        pytest.skip("BEDSIDE_DATA names no folder with cgm_exports")
    assert json.loads((folder / "expected_metrics_R_iglu.json").read_text(encoding="utf-8"))
    for file, unit in (("libre_amer_01.csv", "mg/dL"), ("example_data_1_subject.csv", "mg/dL")):
        (report,) = read_report(folder / file)
        glucose = signal(report, "glucose")
        assert glucose.unit == unit
        assert glucose.values.size > 1300
        assert not np.isnan(glucose.values).any()


@pytest.mark.parametrize("header", ["Period,Systolic,Diastolic,HR", "Time,Systolic,Diastolic,HR"])
def test_a_summary_of_means_says_of_which_period_each_is(header: str) -> None:
    report = one(f"{header}\n24 h,128,78,70\nDay,134,82,72\nNight,118,66,60\n".encode())
    found = {finding.name: finding.value for finding in report.findings if "mean" in finding.name}
    assert found == {
        "24-hour mean systolic": 128,
        "24-hour mean diastolic": 78,
        "Day mean systolic": 134,
        "Day mean diastolic": 82,
        "Night mean systolic": 118,
        "Night mean diastolic": 66,
    }
    assert not report.signals and not report.problems


def test_a_heading_in_a_text_is_no_table() -> None:
    (report,) = read_report(b"ABPM summary\n        Systolic  Diastolic\n24 h     128       78\n", "a.txt")
    assert report.format == "text" and "128" in report.findings[-1].text
