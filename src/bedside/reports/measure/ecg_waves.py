"""Onsets and ends of P, QRS and T on the median beat of all leads: PR, QRS and QT as earliest onset to latest end.

QRS limits are where the spatial velocity of all leads falls to its level between beats, or is least where ST rises steeply. P onset and T end are tangents to the steepest
slope of the leads' root mean square, led on by the rounding that a tangent cuts off: a half cosine of which the tangent cuts 57 % of the
stretch from the steepest point to the tangent's foot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bedside.reports.measure.ecg_beats import BEFORE, RATE, Beats, Places, Signals, aligned, levelled, median_beat
from bedside.reports.measure.leads import Array

_ONSET, _END = 0.03, 0.04
"""Share of the QRS's greatest velocity that is its onset and its end."""
_ROUNDING_T = 0.57
_ROUNDING_P = 0.3
"""Less than a half cosine's: the foot of a P wave melts into the noise of most recordings."""
_LONGEST_QTC = 0.6
"""Seconds (Bazett); a T wave that would end later is taken for the next P wave."""
_P_LEAST = 0.015
_T_LEAST = 0.03
"""mV, root mean square over the leads, that a wave must rise to be measured."""


@dataclass(frozen=True, slots=True)
class Waves:
    """What was measured on the median beat, ms.

    Attributes:
        beats: number of beats that it is the median of.
        qrs: duration.
        pr: from P onset to QRS onset; None where no P wave stands before every QRS.
        qt: from QRS onset to T end; None where the T wave is too flat, or cut off by the next beat.
        spread: half the width of the 95 % interval of `qt` that the leads' own T ends give.
        beat: the median beat, mV, shape [leads, n].
        noise: mV by lead, how much single beats differ from it, shape [leads].
    """

    beats: int
    qrs: float
    pr: float | None
    qt: float | None
    spread: float
    beat: Array
    noise: Array


def measure_waves(found: Signals, beats: Beats) -> Waves:
    """Intervals of the prevailing beats; at least two of them are needed."""
    places = aligned(found, beats)
    onset, _ = _qrs(median_beat(found.steady, places)[found.used])
    values = levelled(found, places, slice(max(0, onset - _ms(20)), max(2, onset - _ms(4))))
    beat = median_beat(values, places)
    rows = beat[found.used]
    onset, end = _qrs(rows)
    rows = rows - rows[:, max(0, onset - _ms(16)) : max(1, onset - _ms(4))].mean(axis=1, keepdims=True)
    interval = float(np.median(beats.intervals)) * RATE
    t_end, spread = _t_end(rows, end, interval)
    p_onset = _p_onset(rows, onset, interval, t_end)
    return Waves(
        beats=len(places),
        qrs=(end - onset) * 1000 / RATE,
        pr=None if p_onset is None else (onset - p_onset) * 1000 / RATE,
        qt=None if t_end is None else (t_end - onset) * 1000 / RATE,
        spread=spread * 1000 / RATE,
        beat=beat,
        noise=_noise(values, places, beat),
    )


def _ms(milliseconds: float) -> int:
    return round(milliseconds * RATE / 1000)


def _qrs(rows: Array) -> tuple[int, int]:
    """First and last sample of the QRS complex of a median beat, shape [leads, n]."""
    velocity = np.nan_to_num(np.sqrt((np.gradient(rows, axis=1) ** 2).mean(axis=0)))
    low, high = BEFORE - _ms(120), BEFORE + _ms(160)
    top = float(velocity[low:high].max())
    quiet = float(np.percentile(velocity[velocity > 0], 20)) if (velocity > 0).any() else 0.0
    fast = np.flatnonzero(velocity[low:high] > 0.2 * top) + low
    start_level, end_level = max(_ONSET * top, 2.5 * quiet), max(_END * top, 2.5 * quiet)
    onset, end, run = int(fast[0]), int(fast[-1]), _ms(10)
    while onset > run and velocity[onset - run : onset].max() >= start_level:
        onset -= 1
    limit = min(len(velocity) - run - 1, max(end + _ms(40), onset + _ms(180)))
    calmest = end + int(velocity[end : limit + 1].argmin())
    while end < limit and velocity[end + 1 : end + 1 + run].max() >= end_level:
        end += 1
    return onset, end if end < limit else calmest


def _t_end(rows: Array, end: int, interval: float) -> tuple[float | None, float]:
    """Sample at which T ends, and half the 95 % interval of it; None where T is too flat or cut off."""
    power = _rms(rows)
    start = end + _ms(60)
    seconds = interval / RATE
    stop = min(len(power) - _ms(20), BEFORE + int(RATE * min(_LONGEST_QTC * np.sqrt(seconds) - 0.09, 0.75 * seconds + 0.05)))
    if stop - start < _ms(40):
        return None, 0.0
    top = start + int(power[start:stop].argmax())
    last = min(len(power) - 3, max(top + _ms(60), min(BEFORE + int(interval) - _ms(100), top + _ms(220))))
    foot = _foot(power, top, last)
    if foot is None or power[top] - power[top : last + 1].min() < _T_LEAST:
        return None, 0.0
    own = [one for one in (_foot_of_lead(row, top, last) for row in rows) if one is not None]
    spread = 1.96 * 1.4826 * float(np.median(np.abs(np.array(own) - np.median(own)))) / np.sqrt(len(own)) if len(own) > 2 else 0.0
    return foot, float(spread)


def _foot(wave: Array, top: int, last: int) -> float | None:
    """Where the tangent to the steepest fall of `wave` after `top` meets its lowest level, led on by the rounding; None if it never falls."""
    if last - top < _ms(10):
        return None
    slope = np.gradient(wave)
    depth = wave[top : last + 1].min()
    fallen = top + int(np.flatnonzero(wave[top : last + 1] <= depth + 0.3 * (wave[top] - depth))[0])
    steepest = top + int(slope[top : fallen + 1].argmin())
    if slope[steepest] >= 0:
        return None
    level = float(wave[steepest : steepest + _ms(150)].min())
    tangent = (float(wave[steepest]) - level) / -float(slope[steepest])
    return float(steepest + (1 + _ROUNDING_T) * tangent)


def _foot_of_lead(row: Array, top: int, last: int) -> float | None:
    wave = _smoothed(row) * np.sign(row[top])
    peak = top - _ms(60) + int(wave[top - _ms(60) : top + _ms(60)].argmax())
    return _foot(wave, peak, last) if wave[peak] > 2.5 * _T_LEAST and peak < last else None


def _p_onset(rows: Array, onset: int, interval: float, t_end: float | None) -> float | None:
    """Sample at which P begins; None where nothing rises before the QRS."""
    power = _rms(rows)
    first = max(0, onset - _ms(300), onset - int(0.45 * interval))
    if t_end is not None:
        first = max(first, int(t_end - interval) + _ms(10))
    last = onset - _ms(30)
    if last - first < _ms(40) or not np.isfinite(power[first:last]).all():
        return None
    top = first + int(power[first:last].argmax())
    slope = np.gradient(power)
    rise = max(first, top - _ms(100))
    steepest = rise + int(slope[rise : top + 1].argmax())
    level = float(power[max(first, steepest - _ms(80)) : steepest + 1].min())
    falls = float(power[top] - power[top:onset].min())
    if min(falls, float(power[top]) - level) < _P_LEAST or slope[steepest] <= 0 or top == first:
        return None
    tangent = (float(power[steepest]) - level) / float(slope[steepest])
    return float(steepest - (1 + _ROUNDING_P) * tangent)


def _rms(rows: Array) -> Array:
    return _smoothed(np.sqrt((rows**2).mean(axis=0)))


def _smoothed(row: Array) -> Array:
    width = _ms(20) + 1
    return np.convolve(np.pad(row, width // 2, mode="edge"), np.ones(width) / width, "valid")


def _noise(values: Array, places: Places, beat: Array) -> Array:
    """Standard deviation by lead of single beats around their median, from its median absolute deviation."""
    whole = [place for place in places if place >= BEFORE and place + beat.shape[1] - BEFORE <= values.shape[1]]
    if len(whole) < 3:
        return np.zeros(len(values))
    rest = np.stack([values[:, place - BEFORE : place - BEFORE + beat.shape[1]] - beat for place in whole])
    deviations: Array = 1.4826 * np.nanmedian(np.abs(rest), axis=(0, 2))
    return deviations
