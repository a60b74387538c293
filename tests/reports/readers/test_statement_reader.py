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


def means(text: str) -> list[tuple[str, str]]:
    return [(reading.name, reading.written) for reading in readings(text, "Ambulatory blood pressure")]


@pytest.mark.parametrize(
    ("line", "periods"),
    [
        ("24 h mean 128/78 mmHg", ["24-hour mean"]),
        ("24-hour: 128/78", ["24-hour mean"]),
        ("ABPM average 128/78", ["24-hour mean"]),
        ("Awake mean 134/82", ["Day mean"]),
        ("Asleep 118/66 mmHg", ["Night mean"]),
        ("Mean BP 24h/day/night: 128/78, 134/82, 118/66 mmHg", ["24-hour mean", "Day mean", "Night mean"]),
        ("24 h monitoring: day 134/82 and night 118/66", ["Day mean", "Night mean"]),
        ("Home average 142/88", ["Home mean"]),
    ],
)
def test_a_mean_is_of_the_period_that_the_words_name(line: str, periods: list[str]) -> None:
    assert [name for name, _ in means(line)] == [f"{period} {side}" for period in periods for side in ("systolic", "diastolic")]


@pytest.mark.parametrize("line", ["Clinic BP 158/96", "BP 158/96 mmHg", "7-day average, last clinic BP 158/96"])
def test_a_single_pressure_is_no_mean(line: str) -> None:
    assert means(line) == [("Systolic blood pressure", "158"), ("Diastolic blood pressure", "96")]


def test_a_pressure_at_home_or_at_night_without_a_mean_is_a_single_one() -> None:
    found = [reading.name for reading in readings("BP at home last night 150/90 mmHg")]
    assert found == ["Systolic blood pressure", "Diastolic blood pressure"]


@pytest.mark.parametrize(
    "line", ["QT/QTc 410/460 ms", "QT / QTc  410 / 460 ms", "QT/QTc: 410/460", "QT/QTcBaz 410/460 ms", "QT/QTc(F) 410/460 ms"]
)
def test_a_pair_of_intervals_gives_each_its_own_value(line: str) -> None:
    assert [(reading.name[:3], reading.written) for reading in readings(line, "ECG")] == [("QT", "410"), ("QTc", "460")]


@pytest.mark.parametrize(
    "line",
    [
        "Name: Alex Citizen   DOB: 02/03/1954   Sex: M   MRN: 123456",
        "CITIZEN, Alex  DOB 02/03/1954 M  MRN: 123456",
        "Patient: CITIZEN, Alex; Date of birth: 02/03/1954 (72 y, male); UR: 123456",
    ],
)
def test_a_header_in_one_line_tells_the_person(line: str) -> None:
    (report,) = read_report(f"Blood tests\n{line}\nPotassium 4.1 mmol/L (3.5-5.2)\n".encode(), "a.txt")
    person = report.patient
    assert (person.family.upper(), person.given, person.birth_date) == ("CITIZEN", "Alex", date(1954, 3, 2))
    assert (person.sex, person.identifiers) == ("male", {"mrn": "123456"})
    assert [finding.value for finding in report.findings if finding.value is not None] == [4.1]


def test_words_with_a_colon_in_a_sentence_are_no_header() -> None:
    (report,) = read_report(b"Comment: advised patient: anxious today, device: calibrated. Potassium 4.1 mmol/L\n", "a.txt")
    assert "anxious" in report.findings[-1].text or any("anxious" in finding.text for finding in report.findings)
    assert report.patient.family == ""


def test_a_table_of_bare_numbers_is_no_ecg_record() -> None:
    with pytest.raises(ReportError, match="no format that is known"):
        read_report(b"12 5 7.5 100\n13 5 7.6 101\n", "numbers.txt")
