"""What bedside itself measures where a device gives a signal or bare values: each measurement says first how good the recording is."""

from __future__ import annotations

from bedside.reports.measure.abpm import measure_blood_pressure
from bedside.reports.measure.cgm import measure_cgm
from bedside.reports.measure.ecg import measure_ecg
from bedside.reports.measure.oximetry import measure_oximetry
from bedside.reports.measure.spirometry import measure_spirometry
from bedside.reports.model import DiagnosticReport, Measured

_MEASURES = (measure_ecg, measure_blood_pressure, measure_cgm, measure_spirometry, measure_oximetry)


def measure(report: DiagnosticReport) -> Measured:
    """All that can be measured from a report's signals and values; empty where there is nothing to measure."""
    parts = [one(report) for one in _MEASURES]
    quality = tuple(note for part in parts for note in part.quality)
    return Measured(
        quality=tuple(sorted(quality, key=lambda note: not note.grave)),
        findings=tuple(finding for part in parts for finding in part.findings),
    )
