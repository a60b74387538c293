"""Text and PDF reports: results in lines, statements in paragraphs."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from report_samples import PDF, TEXT, pdf

from bedside.reports.readers import ReportError, excerpt, read_report
from bedside.reports.readers.statements import readings


def test_a_text_report_is_read_whole() -> None:
    (report,) = read_report(TEXT, "a.txt")
    value = {finding.name: finding.value for finding in report.findings if finding.value is not None}
    assert value == {
        "Potassium": 6.3,
        "Sodium": 138,
        "Creatinine": 110,
        "Odd factor": 12.5,
        "INR": 2.4,
        "Hb": 105,
        "MCV": 72,
        "Systolic blood pressure": 158,
        "Diastolic blood pressure": 96,
        "Platelets": 20,
        "HR": 44,
        "QTc": 492,
    }
    assert (report.patient.family, report.patient.birth_date, report.patient.identifiers) == (
        "CITIZEN",
        date(1962, 4, 3),
        {"mrn": "123456"},
    )
    assert (report.time, report.device, report.kind) == (datetime(2026, 3, 12, 8, 5), "Invented 5000", "laboratory")
    comment = next(finding for finding in report.findings if finding.name == "COMMENT")
    assert comment.text.startswith("Specimen haemolysed. Please repeat\nif clinically")
    assert any("sinus rhythm" in finding.text for finding in report.findings if finding.value is None), "words beside results are kept"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Potassium 6.3 H mmol/L (3.5 - 5.2)", [("Potassium", "6.3", "mmol/L", "3.5 - 5.2", "H")]),
        ("eGFR            >90 mL/min/1.73 m²", [("eGFR", ">90", "mL/min/1.73 m²", "", "")]),
        ("Hb 105 g/L [115-165] LOW", [("Hb", "105", "g/L", "115-165", "LOW")]),
        ("K 2.9 L", [("K", "2.9", "", "", "L")]),
        ("FEV1 2.9 L", [("FEV1", "2.9", "L", "", "")]),
        ("HDL Cholesterol 1.5 1.0 - 2.2 mmol/L", [("HDL Cholesterol", "1.5", "mmol/L", "1.0 - 2.2", "")]),
        ("CRP <5 mg/L", [("CRP", "<5", "mg/L", "", "")]),
        ("QT/QTc 402/440 ms", [("QT", "402", "ms", "", ""), ("QTc", "440", "ms", "", "")]),
        ("SpO2 89 %, HR 104 bpm", [("SpO2", "89", "%", "", ""), ("HR", "104", "bpm", "", "")]),
        ("Takes potassium 600 mg daily since 12/03/2026 at 10:30", []),
        ("Seen with low 3 and high 5 readings, page 2 of 4", []),
        ("Weight +2.6 kg/3 d", []),
        ("Phone: 0255501234", []),
    ],
)
def test_lines(line: str, expected: list[tuple[str, ...]]) -> None:
    assert [(found.name, found.written, found.unit, found.limits, found.flag) for found in readings(line)] == expected


def test_a_pdf_report_is_read_with_its_pages() -> None:
    (report,) = read_report(PDF, "a.pdf")
    value = {finding.name: finding.value for finding in report.findings if finding.value is not None}
    assert (report.kind, value) == ("spirometry", {"FEV1": 2.1, "FEV1/FVC": 0.68})
    assert report.findings[-1].text == "Grade D, short exhalation"
    assert report.findings[0].source.path.startswith("page 1 line")


def test_a_scan_and_a_broken_pdf_are_refused() -> None:
    with pytest.raises(ReportError, match="no text that can be read"):
        read_report(pdf(), "scan.pdf")
    with pytest.raises(ReportError, match="is no PDF that can be read"):
        read_report(PDF[:200], "cut.pdf")


def test_a_place_leads_back_to_the_words() -> None:
    (report,) = read_report(TEXT, "a.txt")
    assert excerpt(TEXT, report.findings[0].source) == report.findings[0].text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("BGL HI\nketones 3.4", "BGL HI"),
        ("eGFR 58 (was 82, 6 wk)", "eGFR 58 (was 82, 6 wk)"),
        ("FEV1/FVC 0.68, z -0.9", "FEV1/FVC 0.68, z -0.9"),
        ("Title\n\nPACEMAKER IN PLACE\n\nCOMMENT:\nK 4.1", "PACEMAKER IN PLACE"),
    ],
)
def test_nothing_that_is_said_is_lost(text: str, words: str) -> None:
    (report,) = read_report(text.encode(), "a.txt")
    assert words in [finding.text for finding in report.findings]
