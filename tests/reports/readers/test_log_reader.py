"""Device logs."""

from __future__ import annotations

import pytest
from report_samples import JSON_LOG, LOG

from bedside.reports.model import DiagnosticReport
from bedside.reports.readers import ReportError, read_report


def values(report: DiagnosticReport) -> dict[str, tuple[float | None, str]]:
    return {finding.name: (finding.value, finding.unit) for finding in report.findings if finding.value is not None}


def words(report: DiagnosticReport) -> list[str]:
    return [finding.text for finding in report.findings if finding.value is None]


def test_lines_of_pairs() -> None:
    (report,) = read_report(LOG, "device.log")
    assert values(report) == {
        "HR": (44, "/min"),
        "QTc": (492, "ms"),
        "Potassium": (6.3, ""),
        "GLUCOSE": (212, "mg/dL"),
        "Systolic blood pressure": (158, "mm[Hg]"),
        "Diastolic blood pressure": (96, "mm[Hg]"),
    }
    assert words(report) == ["PROLONGED QT", "lead V2 off", "High glucose"]
    assert report.patient.identifiers == {"mrn": "123456"}
    assert next(finding.flag for finding in report.findings if finding.name == "Potassium") == "H"
    assert [problem.reason for problem in report.problems] == ["not_read"], "the chatter is counted"


def test_json_lines() -> None:
    (report,) = read_report(JSON_LOG, "device.log")
    glucose = report.findings[0]
    assert (glucose.value, glucose.written_value, glucose.unit, glucose.flag, glucose.device) == (11.4, "11.40", "mmol/L", "H", "POC-1")
    assert glucose.range
    assert glucose.range.high == 7.8
    assert values(report)["HR"] == (104, "")
    assert "LOW SPO2" in words(report)


def test_syslog_with_failed_measurements() -> None:
    log = b"""<134>Mar 12 08:05:00 oxi01 oximeter[221]: SpO2=89% PR=104bpm alarm="LOW SPO2"
<134>Mar 12 08:06:00 oxi01 oximeter[221]: SpO2=--- searching
<134>Mar 12 08:07:00 oxi01 oximeter[221]: BGL 18.2 mmol/L HIGH
"""
    (report,) = read_report(log, "x")
    assert values(report) == {"SpO2": (89, "%"), "Pulse": (104, "/min"), "BGL": (18.2, "mmol/L")}
    assert [problem.reason for problem in report.problems if problem.reason != "not_read"] == ["failed_measurement"]


def test_two_people_in_one_log_are_two_reports() -> None:
    log = b"2026-03-12 08:05:00 mrn=1 HR=60\n2026-03-12 08:06:00 HR=61\n2026-03-12 08:07:00 mrn=2 HR=90\n"
    first, second = read_report(log, "x")
    assert [finding.value for finding in first.findings] == [60, 61]
    assert (second.patient.identifiers, second.findings[0].value) == ({"mrn": "2"}, 90)


def test_a_log_of_chatter_is_refused() -> None:
    with pytest.raises(ReportError, match="nothing is reported"):
        read_report(b"2026-03-12 08:05:00 INFO a=b boot\n2026-03-12 08:05:01 INFO c=d ready\n", "x")
