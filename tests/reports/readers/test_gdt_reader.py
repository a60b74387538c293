"""GDT results of devices."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from report_samples import GDT, gdt

from bedside.reports.readers import ReportError, read_report

HEAD = (("8000", "6310"), ("9206", "3"), ("9218", "02.10"), ("3000", "7"), ("3101", "Müster"))


def test_a_set_is_read_whole() -> None:
    (report,) = read_report(GDT, "a.gdt")
    assert (report.kind, report.time) == ("blood_pressure", datetime(2026, 3, 12, 8, 5))
    assert (report.patient.family, report.patient.birth_date, report.patient.sex) == ("Müster", date(1962, 4, 3), "female")
    systolic, potassium, words, cuff = report.findings
    assert (systolic.value, systolic.unit, systolic.flag) == (158, "mm[Hg]", "H")
    assert systolic.range
    assert (systolic.range.low, systolic.range.high) == (90, 140)
    assert (potassium.name, potassium.value, potassium.written_value, potassium.comments) == ("Kalium", 6.3, "6,3", ("hämolytisch",))
    assert words.text == "Line one\nLine two"
    assert (cuff.name, cuff.text) == ("Cuff", "large")
    assert not report.problems


@pytest.mark.parametrize(("number", "encoding"), [("2", "cp437"), ("3", "cp1252"), ("4", "utf-8")])
def test_the_stated_character_set_holds(number: str, encoding: str) -> None:
    fields = (HEAD[0], ("9206", number), *HEAD[2:], ("8410", "K"), ("8420", "4"))
    (report,) = read_report(gdt(*fields, encoding=encoding), "a.gdt")
    assert report.patient.family == "Müster"
    assert not report.problems


def test_a_set_that_states_no_character_set_is_read_by_its_letters() -> None:
    for encoding in ("cp437", "cp1252", "utf-8"):
        (report,) = read_report(gdt(HEAD[0], *HEAD[2:], ("8410", "K"), ("8420", "4"), encoding=encoding), "a.gdt")
        assert report.patient.family == "Müster"


def test_wrong_lengths_and_odd_lines_are_told_and_the_rest_is_read() -> None:
    data = gdt(*HEAD, ("8410", "K"), ("8420", "4.1")) + b"0998421mmol/l\r\nodd\r\n" + gdt(("9999", "new field"))
    (report,) = read_report(data, "a.gdt")
    assert [(finding.value, finding.unit) for finding in report.findings] == [(4.1, "mmol/L")]
    assert sorted(problem.reason for problem in report.problems) == ["bad_length", "bad_line", "not_read"]


def test_a_corrected_and_a_missing_value() -> None:
    tests = (("8410", "A"), ("8418", "K"), ("8420", "5"), ("8410", "B"), ("8418", "F"), ("8420", "6"))
    (report,) = read_report(gdt(*HEAD, *tests), "a.gdt")
    assert [(finding.name, finding.status) for finding in report.findings] == [("A", "corrected")]
    assert [problem.reason for problem in report.problems] == ["cancelled"]


def test_a_request_is_no_result() -> None:
    with pytest.raises(ReportError, match="request for a new test"):
        read_report(gdt(("8000", "6302"), ("3000", "7")), "a.gdt")
