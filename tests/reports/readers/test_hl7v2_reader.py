"""HL7 v2 results with Australian habits: what is read, what supersedes what, what is acknowledged."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from report_samples import HL7, MSH, PDF_DISPLAY, PID, RTF, escaped, hl7, obr

from bedside.reports.model import DiagnosticReport
from bedside.reports.readers import ReportError, read_report, supersede
from bedside.reports.readers.hl7_message import ack

POTASSIUM = "OBX|1|NM|2823-3^Potassium^LN||{}|mmol/L|3.5-5.2|{}|||{}"


def one(data: bytes) -> DiagnosticReport:
    (report,) = read_report(data, "a.hl7")
    return report


def reasons(report: DiagnosticReport) -> list[str]:
    return [problem.reason for problem in report.problems]


def test_a_message_is_read_whole() -> None:
    report = one(HL7)
    assert (report.id, report.kind, report.status, report.title) == ("26-1", "laboratory", "final", "Basic metabolic panel")
    assert report.patient.identifiers == {"mrn": "123456", "medicare": "2950341791", "ihi": "8003608166690503"}
    assert (report.patient.family, report.patient.given, report.patient.birth_date, report.patient.sex) == (
        "CITIZEN",
        "Jan A",
        date(1962, 4, 3),
        "female",
    )
    assert report.comments == ("Specimen slightly haemolysed",)
    potassium, egfr, comment, culture = report.findings
    assert (potassium.value, potassium.unit, potassium.flag, potassium.code, potassium.system) == (6.3, "mmol/L", "H", "2823-3", "loinc")
    assert potassium.comments == ("haemolysis ++",)
    assert potassium.range
    assert (potassium.range.low, potassium.range.high) == (3.5, 5.2)
    assert (egfr.comparator, egfr.value, egfr.written_value) == (">", 90, "90")
    assert comment.text == "Line one\nLine two & more"
    assert culture.text == "Culture Not detected"
    assert reasons(report) == ["not_read"], "the Z segment is told of"


def test_a_corrected_result_takes_the_place_of_the_one_before() -> None:
    report = one(hl7(obr(status="C"), POTASSIUM.format("6.3", "H", "F"), POTASSIUM.format("4.3", "", "C")))
    assert [(finding.value, finding.status) for finding in report.findings] == [(4.3, "corrected")]
    assert reasons(report) == ["superseded"]
    assert "6.3" in report.problems[0].detail


def test_a_corrected_message_takes_the_place_of_the_one_before_and_loses_nothing() -> None:
    sodium = "OBX|2|NM|2951-2^Sodium^LN||128|mmol/L|135-145|L|||F"
    first = one(hl7(obr(), POTASSIUM.format("6.3", "H", "F"), sodium))
    second = one(hl7(obr(status="C"), POTASSIUM.format("4.3", "", "C")))
    merged = supersede(first, second)
    assert {finding.name: finding.value for finding in merged.findings} == {"Potassium": 4.3, "Sodium": 128.0}
    assert {"superseded", "not_repeated"} <= set(reasons(merged))
    late = supersede(second, first)
    assert {finding.name: finding.value for finding in late.findings} == {"Potassium": 4.3, "Sodium": 128.0}, (
        "the preliminary one came late"
    )
    assert "out_of_order" in reasons(late)


def test_reports_of_two_people_are_never_versions_of_one() -> None:
    first = one(hl7(obr(), POTASSIUM.format("6.3", "H", "F")))
    other = one(hl7(obr(), POTASSIUM.format("4.3", "", "C")).replace(b"123456^", b"654321^"))
    with pytest.raises(ReportError, match="no version of"):
        supersede(first, other)


def test_versions_in_one_file_are_settled_and_a_missing_message_is_told() -> None:
    batch = (
        b"FHS|^~\\&|LAB\rBHS|^~\\&|LAB\r"
        + hl7(obr(), POTASSIUM.format("6.3", "H", "F"))
        + hl7(obr(status="C"), POTASSIUM.format("4.3", "", "C"))
    )
    (report,) = read_report(batch + b"BTS|3\rFTS|1\r", "batch.hl7")
    assert [finding.value for finding in report.findings] == [4.3]
    assert "truncated" in reasons(report)


def test_several_orders_are_several_reports() -> None:
    reports = read_report(
        hl7(obr("1", "A^First^L"), POTASSIUM.format("4", "", "F"), obr("2", "B^Second^L"), POTASSIUM.format("5", "", "F")), "a"
    )
    assert [(report.id, report.title, report.findings[0].value) for report in reports] == [("1", "First", 4), ("2", "Second", 5)]


def test_a_cancelled_or_unreadable_result_is_a_problem_not_a_finding() -> None:
    report = one(
        hl7(obr(), POTASSIUM.format("6.3", "", "X"), "OBX|2|NM|a^Odd^L||n/a|furlong|||||F", "OBX|3|NM|2951-2^Sodium^LN||140|mg|||||F")
    )
    assert [finding.value for finding in report.findings] == [None, 140]
    assert reasons(report) == ["cancelled", "bad_number", "unknown_unit", "impossible_unit"]


@pytest.mark.parametrize("display", [f"OBX|1|FT|RTF^Display format in RTF^AUSPDI||{escaped(RTF)}||||||F", PDF_DISPLAY])
def test_a_display_segment_is_read_where_nothing_else_is(display: str) -> None:
    report = one(hl7(obr(section=""), display))
    value = {finding.name: finding.value for finding in report.findings if finding.value is not None}
    assert value in ({"Potassium": 6.3}, {"FEV1": 2.1, "FEV1/FVC": 0.68})


def test_a_display_segment_beside_results_is_a_comment() -> None:
    report = one(hl7(obr(), POTASSIUM.format("6.3", "H", "F"), f"OBX|2|FT|RTF^Display format in RTF^AUSPDI||{escaped(RTF)}||||||F"))
    assert [finding.name for finding in report.findings] == ["Potassium"]
    assert "slightly haemolysed, André" in report.comments[0]


def test_lines_of_one_text_are_one_statement() -> None:
    report = one(hl7(obr(section="MB"), "OBX|1|TX|T^Text^L||Leucocytes +++||||||F", "OBX|2|TX|T^Text^L||No growth||||||F"))
    assert [finding.text for finding in report.findings] == ["Leucocytes +++\nNo growth"]


def test_other_separators_and_the_stated_character_set_hold() -> None:
    message = (
        HL7.decode().replace("^~\\&", "\x01").replace("|", "!").replace("^", "*").replace("\x01", "*~\\&").replace("CITIZEN", "MÜLLER")
    )
    report = one(message.encode("cp1252"))
    assert report.patient.family == "MÜLLER"
    assert report.findings[0].value == 6.3
    utf8 = one(HL7.decode().replace("8859/1", "UNICODE UTF-8").replace("CITIZEN", "NGUYỄN").encode())
    assert utf8.patient.family == "NGUYỄN"
    wrong = one(HL7.decode().replace("8859/1", "UNICODE UTF-8").replace("CITIZEN", "MÜLLER").encode("cp1252"))
    assert (wrong.patient.family, "bad_encoding" in reasons(wrong)) == ("MÜLLER", True)


def test_escapes_that_are_known_are_read_and_others_stay(caplog: pytest.LogCaptureFixture) -> None:
    report = one(hl7(obr(), r"OBX|1|FT|X^Comment^L||A \H\bold\N\ B\X0D0A\C \ZQ\ D \T\ 5\S\3||||||F".replace("\\\\", "\\")))
    assert report.findings[0].text == "A bold B\nC \\ZQ\\ D & 5^3"
    assert not caplog.records, "nothing of a patient reaches a log"


def test_a_wrong_medicare_number_is_told() -> None:
    report = one(HL7.replace(b"2950341791", b"2950341711"))
    assert "bad_identifier" in reasons(report)


def test_a_message_without_results_is_refused() -> None:
    with pytest.raises(ReportError, match="without results"):
        read_report((MSH.replace("ORU^R01^ORU_R01", "ADT^A01") + "\r" + PID + "\r").encode(), "a.hl7")


def test_an_acknowledgement_answers_the_sender() -> None:
    answer = ack(HL7.decode("cp1252"), "AE", "bad | thing\nin it", now=datetime(2026, 3, 12, tzinfo=UTC))
    header, result = answer.rstrip("\r").split("\r")
    fields = header.split("|")
    assert fields[2:6] == ["BEDSIDE", "Clinic", "LAB^1.2^ISO", "Invented Pathology^1234^AUSNATA"]
    assert (fields[6], fields[8], fields[11]) == ("20260312000000+0000", "ACK^R01^ACK", "2.4^AUS")
    assert result == r"MSA|AE|MSG1|bad \F\ thing\.br\in it"


@pytest.mark.parametrize("broken", ["", "MSH|^~", "\x0bMSH|^~\\&|\x1c\r", "rubbish"])
def test_even_a_broken_message_gets_an_acknowledgement(broken: str) -> None:
    assert ack(broken, "AR", "broken").split("\r")[1].startswith("MSA|AR|")
