"""Rate, rhythm and intervals of a resting ECG, for devices that give the signal and no statements.

The median beat of all leads is measured (`ecg_waves`); its errors are in the tests and in `bench/reports_ecg.py`. Nothing here
is a diagnosis: a clinician over-reads the tracing.
"""

from __future__ import annotations

import math

import numpy as np

from bedside.reports.measure.ecg_beats import Beats, Rhythm, find_beats, rhythm, signals
from bedside.reports.measure.ecg_quality import beat_notes, recording_notes
from bedside.reports.measure.ecg_waves import Waves, measure_waves
from bedside.reports.measure.form import gravest_first, measured, stated
from bedside.reports.measure.leads import Recording, recordings
from bedside.reports.model import DiagnosticReport, Finding, Measured, QualityNote

MOST_SECONDS = 120
"""Of a longer recording, only this much is measured."""
_RATES = (50, 20_000)
"""Samples a second that can be measured."""
_METHOD = "median beat over {leads} leads, {beats} beats"
_ERROR = {"rate": 2.0, "pr": 20.0, "qrs": 14.0, "qt": 18.0}
"""Half the 95 % interval of the method itself, on invented ECGs with known intervals and on PTB-XL (bench/reports_ecg.py)."""


def qtc_bazett(qt: float, rr: float) -> float:
    """QT/√RR, in the unit of `qt`; `rr` in seconds (Bazett, Heart 1920;7:353)."""
    return qt / math.sqrt(rr)


def qtc_fridericia(qt: float, rr: float) -> float:
    """QT/∛RR, in the unit of `qt`; `rr` in seconds (Fridericia, Acta Med Scand 1920;53:469)."""
    return qt / math.cbrt(rr)


def measure_ecg(report: DiagnosticReport) -> Measured:
    """Quality, then rate, rhythm, PR, QRS, QT and QTc of the report's best recording.

    Returns:
        Nothing where the report has no ECG leads; only quality where they cannot be measured.
    """
    found = recordings(report.signals)
    if not found:
        return Measured()
    recording, notes = _cut(found[0])
    notes += recording_notes(recording)
    if not _RATES[0] <= recording.rate <= _RATES[1] or recording.seconds < 2:
        return Measured(quality=gravest_first([*notes, _unmeasured(recording, "it is too short or too coarse")]))
    conditioned = signals(recording)
    beats = find_beats(conditioned)
    if len(beats.places) < 3 or beats.prevailing.sum() < 2:
        return Measured(quality=gravest_first([*notes, _unmeasured(recording, f"{len(beats.places)} beats were found")]))
    waves = measure_waves(conditioned, beats)
    notes += beat_notes(recording, beats, waves)
    if waves.qt is None:
        notes.append(
            QualityNote(code="no_t_end", text="T waves are too flat, or cut off by the next beat, to measure QT", source=recording.source)
        )
    return Measured(quality=gravest_first(notes), findings=tuple(_findings(recording, beats, rhythm(beats), waves)))


def _cut(recording: Recording) -> tuple[Recording, list[QualityNote]]:
    most = int(MOST_SECONDS * recording.rate)
    if recording.values.shape[1] <= most:
        return recording, []
    text = f"Of {recording.seconds / 60:.0f} minutes, the first {MOST_SECONDS} s were measured"
    cut = Recording(recording.names, recording.values[:, :most], recording.rate, recording.source)
    return cut, [QualityNote(code="first_part", text=text, source=recording.source)]


def _unmeasured(recording: Recording, why: str) -> QualityNote:
    return QualityNote(code="not_measured", text=f"The ECG could not be measured: {why}", grave=True, source=recording.source)


def _findings(recording: Recording, beats: Beats, found: Rhythm, waves: Waves) -> list[Finding]:
    source, method = recording.source, _METHOD.format(leads=len(recording.names), beats=waves.beats)
    rr = float(np.mean(beats.intervals))
    findings = [
        measured(
            "Heart rate",
            found.rate,
            "/min",
            f"mean of {len(beats.intervals)} RR intervals",
            source,
            code="8867-4",
            uncertainty=_ERROR["rate"],
        ),
        stated("Rhythm", _rhythm_text(found), "RR intervals, early beats left out", source),
    ]
    if waves.pr is not None and found.regular:
        findings.append(measured("PR interval", waves.pr, "ms", method, source, code="8625-6", uncertainty=_ERROR["pr"]))
    else:
        why = "intervals are irregular" if waves.pr is not None else "no P wave stands at one distance before every QRS"
        findings.append(stated("P wave", f"PR was not measured: {why}", method, source))
    findings.append(measured("QRS duration", waves.qrs, "ms", method, source, code="8633-0", uncertainty=_ERROR["qrs"]))
    if waves.qt is not None:
        error = math.hypot(_ERROR["qt"], waves.spread)
        note = _qt_note(found, waves)
        findings += [
            measured("QT interval", waves.qt, "ms", method, source, code="8634-8", uncertainty=error, note=note),
            measured(
                "QTc Bazett",
                qtc_bazett(waves.qt, rr),
                "ms",
                f"QT/√RR; {method}",
                source,
                code="76635-2",
                uncertainty=error / math.sqrt(rr),
                note=note,
            ),
            measured(
                "QTc Fridericia",
                qtc_fridericia(waves.qt, rr),
                "ms",
                f"QT/∛RR; {method}",
                source,
                code="76634-5",
                uncertainty=error / math.cbrt(rr),
                note=note,
            ),
        ]
    return findings


def _rhythm_text(found: Rhythm) -> str:
    early = f", {found.early} early or different beat{'s' if found.early > 1 else ''}" if found.early else ""
    return f"{'regular' if found.regular else 'irregular'}{early}"


def _qt_note(found: Rhythm, waves: Waves) -> str:
    if waves.qrs >= 120:
        return "QRS is wide: QTc overstates repolarisation"
    if not found.regular:
        return "intervals are irregular: QTc of a mean RR is uncertain"
    if found.rate > 90:
        return "over 90 a minute Bazett over-corrects"
    return "under 60 a minute Bazett under-corrects" if found.rate < 60 else ""
