"""What stands in the way of trusting an ECG recording."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bedside.reports.measure.ecg_beats import BEFORE, RATE, Beats
from bedside.reports.measure.ecg_waves import Waves
from bedside.reports.measure.leads import STANDARD, Array, Recording
from bedside.reports.model import QualityNote

_SHORT, _USUAL = 5.0, 9.5
"""Seconds: too short to measure, and what a resting ECG has."""
_FLAT = 0.02
_NOISY, _VERY_NOISY = 0.05, 0.15
_DRIFT = 1.5
"""mV."""
_STUCK = 0.02
"""Share of samples at the greatest or least value that no heart gives."""
_EINTHOVEN = 0.15
"""mV by which lead II may differ from I + III."""


def recording_notes(recording: Recording) -> Iterator[QualityNote]:
    """Faults of the recording itself: length, leads, gaps, flat and saturated leads, drift, leads that contradict each other."""
    seconds, source = recording.seconds, recording.source
    if seconds < _USUAL:
        text = f"The recording lasts {seconds:.1f} s; a resting ECG lasts 10 s"
        yield QualityNote(code="too_short", text=text, grave=seconds < _SHORT, source=source)
    lacking = [name for name in STANDARD if name not in recording.names]
    if lacking:
        text = (
            f"{len(recording.names)} leads were recorded; {', '.join(lacking)} are missing. QT of few leads may be shorter than of twelve"
        )
        yield QualityNote(code="missing_leads", text=text, source=source)
    yield from _sample_notes(recording)
    rows = recording.rows(("I", "II", "III"))
    if len(rows) == 3:
        one, two, three = recording.values[rows]
        rest = (two - one - three)[np.isfinite(two - one - three)]
        if len(rest) and np.percentile(np.abs(rest - np.median(rest)), 95) > _EINTHOVEN:
            yield QualityNote(
                code="lead_mismatch",
                text="Lead II is not the sum of I and III: leads are mislabelled or miscalibrated",
                grave=True,
                source=source,
            )


def _sample_notes(recording: Recording) -> Iterator[QualityNote]:
    flat, stuck, gaps, drifting = [], [], [], []
    for name, row in zip(recording.names, recording.values, strict=True):
        here = row[np.isfinite(row)]
        if len(here) < 0.98 * len(row):
            gaps.append(name)
        if len(here) < 2 or np.percentile(here, 99.5) - np.percentile(here, 0.5) < _FLAT:
            flat.append(name)
        elif _stuck_share(here) > _STUCK:
            stuck.append(name)
        elif _drift(here, recording.rate) > _DRIFT:
            drifting.append(name)
    many = len(recording.names) / 3
    if flat:
        text = f"No signal in {', '.join(flat)}: an electrode is off or a cable is broken"
        yield QualityNote(code="flat_lead", text=text, grave=len(flat) >= many, source=recording.source)
    if stuck:
        text = f"{', '.join(stuck)} reach the limit of the recorder and are cut off"
        yield QualityNote(code="saturated", text=text, grave=len(stuck) >= many, source=recording.source)
    if gaps:
        yield QualityNote(
            code="missing_samples", text=f"Samples are missing in {', '.join(gaps)}", grave=len(gaps) >= many, source=recording.source
        )
    if drifting:
        yield QualityNote(
            code="baseline_drift", text=f"The baseline wanders in {', '.join(drifting)}; ST levels are unreliable", source=recording.source
        )


def beat_notes(recording: Recording, beats: Beats, waves: Waves) -> Iterator[QualityNote]:
    """Faults that show once beats are known: noise, few alike beats, limb electrodes that look swapped, pacing spikes."""
    noisy = [name for name, noise in zip(recording.names, waves.noise, strict=True) if noise > _NOISY]
    if noisy:
        worst = float(waves.noise.max())
        text = f"Noise up to {worst:.2f} mV in {', '.join(noisy)}"
        yield QualityNote(code="noise", text=text, grave=float(np.median(waves.noise)) > _VERY_NOISY, source=recording.source)
    if waves.beats < 4 or waves.beats < 0.5 * len(beats.places):
        text = f"Only {waves.beats} of {len(beats.places)} beats are alike; intervals are of those"
        yield QualityNote(code="few_alike_beats", text=text, grave=waves.beats < 3, source=recording.source)
    if swapped := _limb_swap(recording, waves.beat):
        yield QualityNote(code="lead_swap", text=swapped, grave=True, source=recording.source)
    spikes = _pacing_spikes(recording, beats)
    if spikes:
        text = f"Spikes like those of a pacemaker stand before {spikes} of {len(beats.places)} beats; intervals of paced beats are not comparable"
        yield QualityNote(code="pacing_spikes", text=text, source=recording.source)


def _stuck_share(row: Array) -> float:
    """Share of samples in runs of 3 or more at the row's extremes, beyond 1 mV."""
    share = 0.0
    for limit in (row.max(), row.min()):
        at = np.abs(row - limit) < 1e-6
        runs = at[:-2] & at[1:-1] & at[2:]
        if abs(limit) > 1.0:
            share += float(runs.mean())
    return share


def _drift(row: Array, rate: float) -> float:
    """Range of the means of whole seconds, mV."""
    parts = np.array_split(row, max(1, int(len(row) / rate)))
    return float(np.ptp([part.mean() for part in parts]))


def _limb_swap(recording: Recording, beat: Array) -> str:
    """Left and right arm swapped turns lead I upside down while V5 and V6 stay; a right leg electrode on an arm flattens a limb lead."""
    rows = recording.rows(("I", "II", "V6"))
    if len(rows) < 3:
        return ""
    window = slice(BEFORE - round(0.25 * RATE), BEFORE + round(0.40 * RATE))
    first, second, sixth = np.nan_to_num(beat[rows][:, window])
    p_first = first[: round(0.20 * RATE)]
    upside_down = float(np.corrcoef(first, sixth)[0, 1]) < -0.6 if np.ptp(first) > 0.2 and np.ptp(sixth) > 0.2 else False
    if upside_down and abs(p_first.min()) > 1.5 * max(p_first.max(), 1e-6):
        return "Lead I is upside down and V6 is not: arm electrodes may be swapped (or the heart lies to the right); check and repeat"
    others = [np.ptp(first), np.ptp(sixth)]
    if np.ptp(second) < 0.1 * float(np.median(others)) and min(others) > 0.3:
        return "Lead II is almost flat while others are not: the right leg electrode may be on the right arm; check and repeat"
    return ""


def _pacing_spikes(recording: Recording, beats: Beats) -> int:
    """Beats with a step of over 0.4 mV within 4 ms and back in the 250 ms before them; told only from 500 samples a second on."""
    if recording.rate < RATE:
        return 0
    steps = np.nan_to_num(np.abs(np.diff(recording.values, n=2, axis=1))).max(axis=0)
    usual = float(np.percentile(steps, 98)) + 1e-9
    spikes = np.flatnonzero((steps > 0.4) & (steps > 8 * usual)) / recording.rate
    before = sum(bool(((spikes > place / RATE - 0.25) & (spikes < place / RATE)).any()) for place in beats.places)
    return before if before >= 0.5 * len(beats.places) else 0
