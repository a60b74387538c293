"""DICOM, aECG and WFDB, written by the tests from one invented ECG."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import wfdb
from bench.invented_ecg import LEADS, Heart, recorded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from bedside.reports.readers import aecg, dicom, wfdb_record
from bedside.reports.readers.source import ReportError

VALUES = recorded(Heart(), np.random.default_rng(5), 500, 2)
PTBXL = Path(os.environ.get("BEDSIDE_DATA", "../shared/data")) / "ptbxl"


def coded(value: str, scheme: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Sequence([item])


def saved(dataset: Dataset, sop_class: str) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(entropy_srcs=["invented"])
    dataset.PatientName, dataset.PatientID, dataset.PatientSex, dataset.PatientBirthDate = "Sample^Alex", "PT-0042", "F", "19610412"
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def dicom_ecg() -> bytes:
    dataset = Dataset()
    dataset.AcquisitionDateTime, dataset.Manufacturer = "20260309140530", "Invented Devices"
    group = Dataset()
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples, group.SamplingFrequency = 12, VALUES.shape[1], 500
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation, group.WaveformOriginality = 16, "SS", "ORIGINAL"
    group.ChannelDefinitionSequence = Sequence()
    for name in LEADS:
        channel = Dataset()
        channel.ChannelSourceSequence = coded("2:1", "MDC", f"Lead {name}")
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = 2.0, 1, 0
        channel.ChannelSensitivityUnitsSequence = coded("uV", "UCUM", "microvolt")
        channel.WaveformBitsStored = 16
        group.ChannelDefinitionSequence.append(channel)
    group.WaveformData = np.round(VALUES.T * 500).astype("<i2").tobytes()
    dataset.WaveformSequence = Sequence([group])
    said, timed = Dataset(), Dataset()
    said.UnformattedTextValue = "Sinus rhythm, normal ECG"
    timed.ConceptNameCodeSequence, timed.MeasurementUnitsCodeSequence = coded("8634-8", "LN", "QT interval"), coded("ms", "UCUM", "ms")
    timed.NumericValue = 390
    dataset.WaveformAnnotationSequence = Sequence([said, timed])
    return saved(dataset, "1.2.840.10008.5.1.4.1.1.9.1.1")


def dicom_sr() -> bytes:
    dataset = Dataset()
    dataset.Modality, dataset.CompletionFlag, dataset.ValueType = "SR", "COMPLETE", "CONTAINER"
    dataset.ConceptNameCodeSequence = coded("28010-7", "LN", "ECG report")
    number, text, heading, amount = Dataset(), Dataset(), Dataset(), Dataset()
    amount.NumericValue, amount.MeasurementUnitsCodeSequence = "492", coded("ms", "UCUM", "ms")
    number.ValueType, number.ConceptNameCodeSequence, number.MeasuredValueSequence = "NUM", coded("8636-3", "LN", "QTc"), Sequence([amount])
    text.ValueType, text.ConceptNameCodeSequence, text.TextValue = "TEXT", coded("18844-1", "LN", "Impression"), "Prolonged QT"
    heading.ValueType, heading.ConceptNameCodeSequence = "CONTAINER", coded("1", "99", "Findings")
    heading.ContentSequence = Sequence([number])
    dataset.ContentSequence = Sequence([heading, text])
    return saved(dataset, "1.2.840.10008.5.1.4.1.1.88.33")


def aecg_xml() -> bytes:
    def sequence(name: str, row: np.ndarray) -> str:
        digits = " ".join(str(round(value * 200)) for value in row)
        value = f'<value xsi:type="SLIST_PQ"><origin value="0" unit="uV"/><scale value="5" unit="uV"/><digits>{digits}</digits></value>'
        return f'<component><sequence><code code="MDC_ECG_LEAD_{name.upper()}"/>{value}</sequence></component>'

    times = '<component><sequence><code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS"><head value="20260309140530.000"/><increment value="0.002" unit="s"/></value></sequence></component>'
    person = '<trialSubject><id extension="PT-0042"/><subjectDemographicPerson><name><family>Sample</family><given>Alex</given></name><administrativeGenderCode code="F"/><birthTime value="19610412"/></subjectDemographicPerson></trialSubject>'
    notes = '<annotation><code code="MDC_ECG_TIME_PD_QT"/><value xsi:type="PQ" value="390" unit="ms"/></annotation><annotation><code code="MDC_ECG_INTERPRETATION_STATEMENT"/><value xsi:type="ST">Sinus rhythm</value></annotation>'
    leads = "".join(sequence(name, row) for name, row in zip(LEADS, VALUES, strict=True))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f'<id root="1.2.3"/><effectiveTime><low value="20260309140530"/></effectiveTime>{person}'
        f"<component><series><component><sequenceSet>{times}{leads}</sequenceSet></component>{notes}</series></component></AnnotatedECG>"
    ).encode()


def wfdb_zip(folder: Path) -> bytes:
    wfdb.wrsamp(
        "rec1",
        fs=500,
        units=["mV"] * 12,
        sig_name=list(LEADS),
        p_signal=VALUES.T,
        fmt=["16"] * 12,
        write_dir=str(folder),
        comments=["Age: 64", "Sex: F"],
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return out.getvalue()


def check_leads(report, tolerance: float) -> None:
    assert report.kind == "ecg" and len(report.signals) == 12 and report.signals[0].rate == pytest.approx(500)
    got = np.stack([signal.values * {"mV": 1, "uV": 1e-3}[signal.unit] for signal in report.signals])
    np.testing.assert_allclose(got, VALUES, atol=tolerance)


def test_dicom_ecg_gives_leads_in_millivolts_measurements_and_statements():
    data = dicom_ecg()
    assert dicom.sniff(data[:256], "x")
    (report,) = dicom.read(data, "a.dcm")
    check_leads(report, 0.0011)
    assert report.patient.family == "Sample" and report.patient.sex == "female" and report.device == "Invented Devices"
    assert [finding.text for finding in report.findings if finding.name == "ECG statement"] == ["Sinus rhythm, normal ECG"]
    assert next(finding for finding in report.findings if finding.code == "8634-8").value == 390


def test_dicom_sr_gives_numbers_and_texts_with_their_places():
    (report,) = dicom.read(dicom_sr(), "a.dcm")
    number, text = report.findings
    assert (number.code, number.system, number.value, number.unit, number.source.path) == ("8636-3", "loinc", 492, "ms", "content 1.1")
    assert text.text == "Prolonged QT" and report.status == "final"


def test_dicom_that_is_no_report_or_deflated_is_refused():
    with pytest.raises(ReportError, match="without a report"):
        dicom.read(saved(Dataset(), "1.2.840.10008.5.1.4.1.1.7"), "a.dcm")
    data = dicom_sr().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    with pytest.raises(ReportError, match="deflated"):
        dicom.read(data, "a.dcm")


def test_aecg_gives_leads_measurements_and_statements():
    data = aecg_xml()
    assert aecg.sniff(data[:200], "x")
    (report,) = aecg.read(data, "a.xml")
    check_leads(report, 0.003)
    assert report.patient.identifiers == {"mrn": "PT-0042"}
    assert {finding.name: finding.value for finding in report.findings} == {"QT interval": 390, "ECG statement": None}


def test_xml_bombs_and_foreign_entities_are_refused():
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><AnnotatedECG xmlns="urn:hl7-org:v3">&c;</AnnotatedECG>'
    with pytest.raises(ReportError, match="broken XML"):
        aecg.read(bomb, "a.xml")
    with pytest.raises(ReportError, match="tags"):
        aecg.read(b"<AnnotatedECG>" + b"<a/>" * 300_000 + b"</AnnotatedECG>", "a.xml")


def test_wfdb_comes_from_a_zip_and_from_a_folder(tmp_path):
    data = wfdb_zip(tmp_path)
    assert wfdb_record.sniff(data[:4096], "rec.zip")
    (report,) = wfdb_record.read(data, "rec.zip")
    check_leads(report, 0.002)
    assert report.patient.sex == "female"
    assert len(wfdb_record.read_path(tmp_path / "rec1.dat")[0].signals) == 12


def test_wfdb_without_its_signals_or_pointing_elsewhere_is_refused(tmp_path):
    wfdb_zip(tmp_path)
    header = (tmp_path / "rec1.hea").read_bytes()
    with pytest.raises(ReportError, match="another file"):
        wfdb_record.read(header, "rec1.hea")
    (tmp_path / "rec1.hea").write_bytes(header.replace(b"rec1.dat", b"../rec1.dat"))
    with pytest.raises(ReportError, match="not beside it"):
        wfdb_record.read_path(tmp_path / "rec1.hea")
    (tmp_path / "rec1.hea").write_bytes(header.replace(b" 500 1000", b" 500 999999999"))
    with pytest.raises(ReportError, match="samples in"):
        wfdb_record.read_path(tmp_path / "rec1.hea")


def test_a_zip_that_unpacks_to_too_much_is_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("r.hea", "r 1 500 10")
        archive.writestr("r.dat", bytes(70 * 1024 * 1024))
    with pytest.raises(ReportError, match="unpacks to"):
        wfdb_record.read(out.getvalue(), "r.zip")


@pytest.mark.skipif(not PTBXL.exists(), reason=f"no PTB-XL at {PTBXL}; set BEDSIDE_DATA")
def test_real_records_are_read():
    header = sorted(PTBXL.rglob("*.hea"))[0]
    (report,) = wfdb_record.read_path(header)
    assert len(report.signals) == 12 and report.signals[0].rate == 100


WHOLE = {"dicom": dicom_ecg(), "sr": dicom_sr(), "aecg": aecg_xml()[:8000]}
READERS = {"dicom": dicom.read, "sr": dicom.read, "aecg": aecg.read}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(WHOLE)), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=10), st.floats(0, 1))
def test_broken_files_are_refused_or_read(format, changes, cut):
    data = bytearray(WHOLE[format])
    for place, value in changes:
        data[int(place * min(len(data), 3000))] = value
    try:
        READERS[format](bytes(data[: int(cut * len(data))]), "x")
    except ReportError as error:
        assert error.next_step
