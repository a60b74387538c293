"""Oxygen saturation over time: baseline, desaturations an hour, time below 90 %, and what of the recording is artefact.

A desaturation is a fall of 3 % (or 4 %) from the mean of the two minutes before it that lasts 10 s (AASM scoring manual; Chung et al.,
Anesth Analg 2012;114:993 on nocturnal oximetry as a screen).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bedside.reports.measure.form import gravest_first, measured
from bedside.reports.model import DiagnosticReport, Measured, QualityNote, Signal

Array = NDArray[np.float64]
_POSSIBLE = (50.0, 100.0)
_FASTEST = 4.0
"""Percent a second that blood can change; a faster step is motion or a loose probe."""
_BEFORE, _LASTS = 120, 10
"""Seconds of the level before a fall, and that a fall lasts."""
_ENOUGH_HOURS = 4.0
_METHOD = "1 s samples, artefacts left out"


@dataclass(frozen=True, slots=True)
class Saturation:
    """SpO2 by the second.

    Attributes:
        values: percent, one a second; NaN where there is none or it is artefact, shape [n].
        artefact: share of the recorded seconds that were left out.
    """

    values: Array
    artefact: float

    @property
    def hours(self) -> float:
        """Usable length."""
        return float(np.isfinite(self.values).sum()) / 3600


def saturation(signal: Signal) -> Saturation:
    """A SpO2 signal by the second, without impossible values and steps."""
    times = signal.times if signal.times is not None else np.arange(len(signal.values)) / (signal.rate or 1.0)
    order = np.argsort(times, kind="stable")
    times, raw = times[order] - times.min(), signal.values[order]
    seconds = np.arange(0, min(int(times[-1]) + 1, 7 * 86_400))
    at = np.clip(np.searchsorted(times, seconds, side="right") - 1, 0, len(times) - 1)
    values = np.where(seconds - times[at] <= 30, raw[at], np.nan)
    recorded = int(np.isfinite(values).sum())
    values = np.where((values >= _POSSIBLE[0]) & (values <= _POSSIBLE[1]), values, np.nan)
    jump = np.abs(np.diff(values, prepend=values[:1])) > _FASTEST
    spoiled = np.convolve(jump, np.ones(5), "same") > 0
    values = np.where(spoiled, np.nan, values)
    return Saturation(values, 1 - float(np.isfinite(values).sum()) / recorded if recorded else 1.0)


def desaturations(found: Saturation, fall: float) -> int:
    """Falls of at least `fall` percent under the level of the two minutes before, lasting at least 10 s."""
    level = _level_before(found.values)
    under = np.nan_to_num(level - found.values, nan=-1.0) >= fall
    count, second = 0, 0
    while second < len(under):
        if under[second] and under[second : second + _LASTS].all() and second + _LASTS <= len(under):
            count += 1
            floor = level[second] - fall + 1
            while second < len(under) and not found.values[second] > floor:
                second += 1
        second += 1
    return count


def measure_oximetry(report: DiagnosticReport) -> Measured:
    """Quality, then baseline, lowest, time below 90 % and desaturations an hour of the report's `spo2` signal.

    Returns:
        Nothing where the report has no such signal of at least ten samples; single values are the report's own findings.
    """
    signal = next((one for one in report.signals if one.name.lower() in ("spo2", "sao2") and len(one.values) >= 10), None)
    if signal is None:
        return Measured()
    found, source = saturation(signal), signal.source
    notes = []
    if found.artefact > 0.2:
        text = f"{100 * found.artefact:.0f} % of the recording is artefact (motion, a loose or cold probe)"
        notes.append(QualityNote(code="artefact", text=text, grave=found.artefact > 0.5, source=source))
    if found.hours < _ENOUGH_HOURS:
        text = f"{found.hours:.1f} hours are usable; {_ENOUGH_HOURS:g} are needed for a night's desaturation index"
        notes.append(QualityNote(code="too_short", text=text, grave=found.hours < 0.5, source=source))
    good = found.values[np.isfinite(found.values)]
    if not len(good):
        return Measured(quality=gravest_first(notes))
    note = "oximeters read 1 to 3 points too high on darker skin and in poor perfusion"
    findings = [
        measured("SpO2 baseline", float(np.median(good)), "%", "median", source, uncertainty=2, note=note),
        measured("SpO2 lowest", float(good.min()), "%", _METHOD, source, uncertainty=2, note=note),
        measured("Time below 90 %", 100 * float((good < 90).mean()), "%", _METHOD, source, digits=1),
    ]
    if found.hours >= 0.5:
        findings += [
            measured(f"Desaturations of {fall} % an hour", desaturations(found, fall) / found.hours, "/h", _METHOD, source, digits=1)
            for fall in (3, 4)
        ]
    return Measured(quality=gravest_first(notes), findings=tuple(findings))


def _level_before(values: Array) -> Array:
    """Mean of the usable samples of the two minutes before each second; NaN where fewer than 30 are."""
    usable = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(usable, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(usable)])
    ends = np.arange(len(values))
    starts = np.maximum(0, ends - _BEFORE)
    number = counts[ends] - counts[starts]
    with np.errstate(invalid="ignore", divide="ignore"):
        level: Array = np.where(number >= 30, (sums[ends] - sums[starts]) / number, np.nan)
    return level
