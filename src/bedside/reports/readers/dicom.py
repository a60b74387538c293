"""DICOM: structured reports (SR), ECG waveforms with their annotations, and encapsulated PDF reports, by pydicom."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bedside.reports.model import DiagnosticReport, Person, Sex, Signal, Span
from bedside.reports.readers import pdf
from bedside.reports.readers.source import Draft, ReportError, Source

Array = NDArray[np.float64]
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_MOST_ITEMS, _DEEPEST = 20_000, 40
_NEXT = "Export it again as DICOM Part 10 (uncompressed), or as PDF"
_ECG_UNITS = {"uV": "uV", "mV": "mV", "V": "V", "nV": "nV"}


def sniff(head: bytes, name: str) -> bool:
    """Whether a file has DICOM's mark."""
    return head[128:132] == b"DICM"


def read(data: bytes, name: str) -> list[DiagnosticReport]:
    """The file's object as one report; an encapsulated PDF's reports with it.

    Raises:
        ReportError: it is broken, deflated, or an object that holds neither a report nor a waveform.
    """
    if _DEFLATED in data[:1024]:
        raise ReportError(f"{name} is deflated DICOM, which is not unpacked because its size is not known before", _NEXT)
    try:
        return _read(data, name)
    except ReportError:
        raise
    except Exception as error:  # pydicom raises whatever a broken element leads to
        raise ReportError(f"{name} is broken DICOM ({type(error).__name__}: {str(error)[:120]})", _NEXT) from error


def _read(data: bytes, name: str) -> list[DiagnosticReport]:
    from pydicom import dcmread

    dataset = dcmread(io.BytesIO(data))
    draft = Draft(Source(name, ""), str(dataset.get("StudyDescription", "") or dataset.get("SeriesDescription", "")))
    if "EncapsulatedDocument" in dataset:
        return pdf.read(bytes(dataset.EncapsulatedDocument).rstrip(b"\0"), name)
    if "ContentSequence" in dataset:
        draft.title = _meaning(dataset.get("ConceptNameCodeSequence")) or draft.title
        _content(draft, dataset)
    if "WaveformSequence" in dataset:
        _waveforms(draft, dataset)
        _annotations(draft, dataset)
    if not draft.findings and not draft.signals:
        found = dataset.get("Modality", "") or "no modality"
        raise ReportError(f"{name} is a DICOM object ({found}) without a report or a waveform", "Give the SR, the ECG waveform or a PDF")
    complete = {"COMPLETE": "final", "PARTIAL": "preliminary"}.get(str(dataset.get("CompletionFlag", "")), "unknown")
    return [
        draft.report(
            "dicom",
            "ecg" if draft.signals else None,
            id=str(dataset.get("SOPInstanceUID", "")),
            status=complete,
            time=_time(dataset),
            patient=_person(dataset),
            device=_device(dataset),
        )
    ]


def _content(draft: Draft, dataset: Any) -> None:
    """Numbers, codes and texts of an SR's tree, each under its headings."""
    for number, (path, item) in enumerate(_walk(dataset, "", 0)):
        if number >= _MOST_ITEMS:
            raise ReportError(f"{draft.source.name} has over {_MOST_ITEMS:,} content items", "Split it into single reports")
        kind, span = str(item.get("ValueType", "")), draft.source.span(path)
        name = _meaning(item.get("ConceptNameCodeSequence")) or kind
        code, system = _code(item.get("ConceptNameCodeSequence"))
        if kind == "NUM":
            measured = _first(item.get("MeasuredValueSequence"))
            if measured is None or "NumericValue" not in measured:
                draft.problem("bad_number", f"{name} has no value", span)
                continue
            unit = _code(measured.get("MeasurementUnitsCodeSequence"))[0]
            draft.result(name, str(measured.NumericValue), "" if unit == "1" else unit, span, numeric=True, code=code, system=system)
        elif kind == "TEXT" and item.get("TextValue"):
            draft.statement(name, str(item.TextValue), span, code=code, system=system)
        elif kind == "CODE" and (said := _meaning(item.get("ConceptCodeSequence"))):
            draft.statement(name, said, span, code=code, system=system)


def _walk(item: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        raise ReportError(f"a DICOM SR is nested over {_DEEPEST} levels deep", _NEXT)
    for number, child in enumerate(item.get("ContentSequence") or (), 1):
        here = f"{path}.{number}" if path else str(number)
        yield f"content {here}", child
        yield from _walk(child, here, depth + 1)


def _waveforms(draft: Draft, dataset: Any) -> None:
    start = _time(dataset)
    for number, group in enumerate(dataset.WaveformSequence, 1):
        rate, channels = float(group.SamplingFrequency), list(group.get("ChannelDefinitionSequence") or ())
        values = _physical(dataset, number, group)
        offset = float(group.get("MultiplexGroupTimeOffset") or 0) / 1000
        begins = start + timedelta(seconds=offset) if start else None
        for row, channel in enumerate(channels):
            source = _meaning(channel.get("ChannelSourceSequence")) or str(channel.get("ChannelLabel", "")) or f"channel {row + 1}"
            unit = _code(channel.get("ChannelSensitivityUnitsSequence"))[0]
            span = Span(file=draft.source.name, path=f"waveform {number} channel {row + 1}")
            if unit not in _ECG_UNITS:
                draft.problem("unknown_unit", f"channel {source} is in {unit or 'no unit'}", span)
            name = source.removeprefix("Lead ").split("(")[0].strip()
            draft.signals.append(
                Signal(name=name, values=values[:, row], unit=_ECG_UNITS.get(unit, unit), rate=rate, start=begins, source=span)
            )


def _physical(dataset: Any, number: int, group: Any) -> Array:
    """Samples of a multiplex group in its channels' units, shape [n, channels]."""
    samples, channels = int(group.NumberOfWaveformSamples), int(group.NumberOfWaveformChannels)
    given = len(group.WaveformData) * 8 // max(1, int(group.WaveformBitsAllocated))
    if not 0 < samples * channels <= given:
        raise ReportError(f"a DICOM waveform says {samples} samples of {channels} channels and holds {given}", _NEXT)
    values: Array = np.asarray(dataset.waveform_array(number - 1), dtype=np.float64)
    return values


def _annotations(draft: Draft, dataset: Any) -> None:
    for number, note in enumerate(dataset.get("WaveformAnnotationSequence") or (), 1):
        span = draft.source.span(f"annotation {number}")
        name = _meaning(note.get("ConceptNameCodeSequence")) or "ECG statement"
        code, system = _code(note.get("ConceptNameCodeSequence"))
        if "NumericValue" in note:
            unit = _code(note.get("MeasurementUnitsCodeSequence"))[0]
            value = note["NumericValue"]
            written = str(value.value[0] if value.VM > 1 else value.value)
            draft.result(name, written, "" if unit == "1" else unit, span, numeric=True, code=code, system=system)
        elif note.get("UnformattedTextValue"):
            draft.statement("ECG statement", str(note.UnformattedTextValue), span)
        elif said := _meaning(note.get("ConceptCodeSequence")):
            draft.statement(name, said, span, code=code, system=system)


def _first(sequence: Any) -> Any:
    return sequence[0] if sequence else None


def _meaning(sequence: Any) -> str:
    item = _first(sequence)
    return "" if item is None else str(item.get("CodeMeaning", "")).strip()


def _code(sequence: Any) -> tuple[str, str]:
    """Code and its system; LOINC's designator is `LN`."""
    item = _first(sequence)
    if item is None:
        return "", ""
    system = str(item.get("CodingSchemeDesignator", ""))
    return str(item.get("CodeValue", "")).strip(), "loinc" if system == "LN" else system


def _person(dataset: Any) -> Person:
    name = dataset.get("PatientName")
    number = "".join(str(dataset.get("PatientID", "")).split())
    sexes: dict[str, Sex] = {"F": "female", "M": "male", "O": "other"}
    return Person(
        identifiers={"mrn": number} if number else {},
        family=str(getattr(name, "family_name", "") or ""),
        given=str(getattr(name, "given_name", "") or ""),
        birth_date=_day(str(dataset.get("PatientBirthDate", ""))),
        sex=sexes.get(str(dataset.get("PatientSex", "")), "unknown"),
    )


def _day(written: str) -> date | None:
    try:
        return datetime.strptime(written[:8], "%Y%m%d").date() if written else None
    except ValueError:
        return None


def _time(dataset: Any) -> datetime | None:
    for stamp in (
        str(dataset.get("AcquisitionDateTime", "")),
        str(dataset.get("ContentDate", "")) + str(dataset.get("ContentTime", "")),
        str(dataset.get("StudyDate", "")) + str(dataset.get("StudyTime", "")),
    ):
        plain = stamp.split(".")[0].split("+")[0]
        for length, form in ((14, "%Y%m%d%H%M%S"), (12, "%Y%m%d%H%M"), (8, "%Y%m%d")):
            try:
                return datetime.strptime(plain[:length], form) if len(plain) >= length else None
            except ValueError:
                continue
    return None


def _device(dataset: Any) -> str:
    parts = [dataset.get("Manufacturer", ""), dataset.get("ManufacturerModelName", ""), dataset.get("DeviceSerialNumber", "")]
    software = dataset.get("SoftwareVersions", "")
    labels = ("", "", "serial ")
    named = [f"{label}{part}" for label, part in zip(labels, parts, strict=True) if part]
    return ", ".join([*named, f"software {software}"] if software else named)
