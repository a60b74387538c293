from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime
from time import perf_counter

import numpy as np
import pytest
from bench.invented_ecg import Heart, recorded
from hypothesis import given, settings
from hypothesis import strategies as st
from scp_writer import STATEMENTS, scp

from bedside.reports.readers.scp_bits import standard_table, unpacked
from bedside.reports.readers.scp_ecg import read, sniff
from bedside.reports.readers.source import ReportError


def rows(seconds: float = 4):
    twelve = recorded(Heart(), np.random.default_rng(3), 500, seconds)
    return np.round(1000 * twelve[[0, 1, 6, 7, 8, 9, 10, 11]])


@pytest.mark.parametrize("packing", ["plain", "differences", "reference"])
def test_every_packing_gives_the_samples_back_exactly(packing):
    written = rows()
    (report,) = read(scp(written, packing=packing), "a.scp")
    assert [signal.name for signal in report.signals] == ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]
    assert report.signals[0].rate == 500
    assert not report.problems
    np.testing.assert_allclose(np.stack([signal.values for signal in report.signals]), written / 1000, atol=1e-9)


def test_bimodal_packing_keeps_zones_whole_and_smooths_the_rest():
    written = rows()
    (report,) = read(scp(written, packing="bimodal"), "a.scp")
    got = np.stack([signal.values for signal in report.signals]) * 1000
    assert report.signals[0].rate == 500
    np.testing.assert_allclose(got[:, 180:239], written[:, 180:239], atol=1e-6)
    assert np.median(np.abs(got - written)) < 20


def test_patient_device_measurements_and_statements_come_with_their_places():
    data = scp(rows(1.5))
    (report,) = read(data, "a.scp")
    assert (report.patient.family, report.patient.given, report.patient.identifiers) == ("Sample", "Alex", {"mrn": "PT-0042"})
    assert report.patient.birth_date == date(1961, 4, 12)
    assert report.patient.sex == "female"
    assert report.time == datetime(2026, 3, 9, 14, 5, 30)
    assert "Invented Devices" in report.device and "SN77" in report.device
    values = {finding.name: finding.value for finding in report.findings if finding.value is not None}
    assert values["PR interval"] == 160 and values["QRS duration"] == 92 and values["QT interval"] == 390
    assert values["QTc Bazett"] == 421 and values["QRS axis"] == -35
    said = [finding for finding in report.findings if finding.name == "ECG statement"]
    assert [finding.text for finding in said] == list(STATEMENTS)
    assert data[said[0].source.start : said[0].source.end].rstrip(b"\0").decode() == STATEMENTS[0]
    assert report.status == "preliminary"


def test_damage_is_told():
    data = bytearray(scp(rows(1.5)))
    data[data.index(b"Sinus")] = ord("X")
    (report,) = read(bytes(data), "a.scp")
    assert {"bad_checksum"} == {problem.reason for problem in report.problems}
    whole = scp(rows(1.5))
    (report,) = read(whole[: len(whole) - 200], "a.scp")
    assert "truncated" in {problem.reason for problem in report.problems} and report.patient.family == "Sample"
    damaged = bytearray(scp(rows(1.5), packing="differences"))
    damaged[-2000:] = b"\xff" * 2000
    with pytest.raises(ReportError, match="samples"):
        read(bytes(damaged), "a.scp")


def test_sniff_knows_its_own():
    assert sniff(scp(rows(1.5))[:64], "x")
    assert not sniff(b"MSH|^~\\&|" + bytes(60), "x") and not sniff(b"", "x")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 4000))
def test_a_huffman_stream_ends_in_samples_or_a_refusal(data, count):
    with suppress(ReportError):
        assert len(unpacked(data, count, [standard_table()])) == count


WHOLE = scp(rows(1.5), packing="reference")


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=12), st.integers(0, len(WHOLE)))
def test_broken_files_are_refused_or_read_in_time(changes, cut):
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value
    start = perf_counter()
    try:
        read(bytes(data[:cut]), "a.scp")
    except ReportError as error:
        assert error.next_step
    assert perf_counter() - start < 5
