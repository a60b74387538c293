"""What holds for every reader: places hold what was written, broken files are refused or told of, and nothing takes long."""

from __future__ import annotations

import io
import json
import time
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_samples import ALL, FHIR, HL7, MSH, PID, hl7, obr

from bedside.reports.model import DiagnosticReport
from bedside.reports.readers import ReportError, excerpt, read_report

SECONDS = 2.0
HOSTILE = (
    "\x00",
    "\\",
    "|",
    "^^^^",
    "~",
    '"',
    "{",
    "[",
    "]]",
    "\r",
    "\n\n",
    "OBX|",
    "é",
    "\ufeff",
    "9" * 40,
    "1e999",
    "-",
    "<!DOCTYPE a>",
    "8410",
    "=",
    "\t",
    "(",
    "μ",
)


def placed(data: bytes, report: DiagnosticReport) -> None:
    """Every number stands, as it was written, at the place that its finding names (CSV quotes and encoded documents aside)."""
    for finding in report.findings:
        if finding.value is not None and finding.source.start is not None and " page " not in finding.source.path:
            assert finding.written_value in excerpt(data, finding.source).replace(chr(34), ""), finding


@pytest.mark.parametrize("name", ALL)
def test_each_number_stands_where_its_finding_says(name: str) -> None:
    for report in read_report(ALL[name], name):
        placed(ALL[name], report)


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """A file that was cut, damaged or tampered with in up to four places."""
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        kind = draw(st.sampled_from(("cut", "cut", "insert", "insert", "flip", "double", "end")))
        if kind == "cut":
            data = data[:start] + data[min(end, start + 40) :]
        elif kind == "end":
            data = data[: max(end, 10)]
        elif kind == "double":
            data = data[:end] + data[start:end] + data[end:]
        elif kind == "insert":
            data = data[:start] + draw(st.sampled_from(HOSTILE)).encode() * draw(st.sampled_from((1, 1, 3, 200))) + data[start:]
        else:
            data = data[:start] + draw(st.binary(min_size=1, max_size=8)) + data[start + 1 :]
    return data


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(name: str, data: st.DataObject) -> None:
    damaged = data.draw(mutated(ALL[name]))
    started = time.process_time()
    try:
        for report in read_report(damaged, name):
            placed(damaged, report)
    except ReportError as error:
        assert error.problem
        assert error.next_step
    assert time.process_time() - started < SECONDS


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_anything_at_all_is_read_or_refused(data: bytes) -> None:
    try:
        read_report(data, "anything")
    except ReportError:
        return


def bomb(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries.items():
            packed.writestr(name, content)
    return out.getvalue()


LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><x>&j;</x>"
)
LARGE = {
    "zip bomb": lambda: bomb({"[Content_Types].xml": b"", "xl/workbook.xml": b" " * 80_000_000}),
    "XML bomb": lambda: bomb({"[Content_Types].xml": LAUGHS, "xl/workbook.xml": LAUGHS, "_rels/.rels": LAUGHS}),
    "deep JSON": lambda: b'{"resourceType":' * 30_000,
    "deep list": lambda: b'[{"resourceType": "Observation", "component":' + b"[" * 200_000,
    "many objects": lambda: b'{"resourceType": "Observation", "component": [' + b"{}," * 150_000 + b"{}]}",
    "one long line": lambda: b"Potassium 6.3 " * 70_000,
    "many numbers": lambda: b"1 2 3 4 5 6 7 8 9\n" * 25_000,
    "long text": lambda: b"a" * 2_000_000,
    "open quote": lambda: b'Test,Result\nPotassium,"6.3\n' * 2_000,
    "columns": lambda: b"Test,Result" + b"," * 500_000 + b"\nPotassium,6.3\n",
    "backslashes": lambda: HL7 + b"\\" * 100_000,
    "repeats": lambda: hl7(obr(), "OBX|1|NM|2823-3^Potassium^LN||6.3" + "~^&" * 60_000),
    "log of equals signs": lambda: b"2026-03-12 08:05:00 a=" + b"=" * 100_000 + b"\n" + b"b=1 c=2\n" * 100,
    "wide gaps": lambda: (b"Name" + b" " * 1900 + b"x 5\r" * 20) * 100 + b"\r" * 200_000 + b"Potassium 6.3",
    "header without end": lambda: HL7.replace(b"8859/1", b"|" * 50_000 + b"]" * 50_000),
    "GDT of one field": lambda: b"01380006310\r\n" + b"0108410K\r\n" * 20_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_hostile_file_costs_little(name: str) -> None:
    import tracemalloc

    data = LARGE[name]()
    tracemalloc.start()
    started = time.process_time()
    try:
        read_report(data, name)
    except ReportError as error:
        assert error.next_step
    seconds = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000_000
    assert seconds < 5 * SECONDS  # tracing makes it several times slower


def test_an_empty_and_an_unknown_file_are_refused_with_what_to_do() -> None:
    with pytest.raises(ReportError, match="is empty"):
        read_report(b" \n", "a.hl7")
    with pytest.raises(ReportError, match="no format that is known"):
        read_report(b"\x00\x01\x02\x03", "a.bin")


def test_too_many_problems_are_counted_not_listed() -> None:
    report = read_report(hl7(obr(), *(f"OBX|{n}|NM|{n}^Test {n}^L||n/a|furlong|||||F" for n in range(60))), "a.hl7")[0]
    listed = [problem for problem in report.problems if problem.reason == "bad_number"]
    assert len(listed) == 21
    assert listed[-1].detail == "40 more of these"


def test_a_json_file_of_something_else_is_named() -> None:
    with pytest.raises(ReportError, match="Patient"):
        read_report(json.dumps({"resourceType": "Patient", "id": "p"}).encode(), "p.json")


def test_formats_are_told_by_content_whatever_the_name() -> None:
    assert read_report(FHIR, "report.hl7")[0].format == "fhir"
    assert read_report(HL7, "report.txt")[0].format == "hl7v2"
    assert read_report(("\x0b" + MSH + "\r" + PID + "\r" + obr() + "\rOBX|1|NM|a^A^L||1||||||F\r\x1c\r").encode(), "x")[0].format == "hl7v2"
