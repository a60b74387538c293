"""Heart beats of an ECG: where they are, which are of the prevailing shape, how regularly they come, and their median.

QRS complexes are found on the trimmed mean of all leads' steepness, so that one loose electrode neither adds nor hides a beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bedside.reports.measure.leads import INDEPENDENT, Array, Recording

RATE = 500
"""Samples a second that all recordings are brought to."""
BEFORE, AFTER = round(0.36 * RATE), round(0.70 * RATE)
"""Samples of a median beat before and after its fiducial point."""
LIVE = 0.02
"""mV; a lead whose fastest second moves less is not connected."""
_BAND = (0.5, 40.0)
_SAME_SHAPE = 0.85
_EARLY = 0.85
_TRIM = 4
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Signals:
    """A recording at `RATE`.

    Attributes:
        smooth: mV, below 40 Hz, shape [leads, n].
        steady: the same without slow drift (above 0.5 Hz): for finding beats; it bends ST and T.
        used: rows that are independent of each other and alive.
    """

    smooth: Array
    steady: Array
    used: list[int]


@dataclass(frozen=True, slots=True)
class Beats:
    """QRS complexes.

    Attributes:
        places: sample of each, at `RATE`, shape [n].
        prevailing: whether each has the shape of most; False where it stands too near an end to tell, shape [n].
        other: whether each has another shape, shape [n].
    """

    places: Places
    prevailing: NDArray[np.bool_]
    other: NDArray[np.bool_]

    @property
    def intervals(self) -> Array:
        """RR, seconds, shape [n − 1]."""
        return np.diff(self.places) / RATE


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How beats come.

    Attributes:
        rate: mean ventricular rate, beats a minute.
        regular: whether intervals between beats that are not early vary little.
        early: beats that come early or have another shape.
        rmssd: root mean square of successive differences of those intervals, share of their mean.
        spread: longest less shortest of them, share of their mean.
    """

    rate: float
    regular: bool
    early: int
    rmssd: float
    spread: float


def signals(recording: Recording) -> Signals:
    """Brings a recording to `RATE` without its drift and its noise above 40 Hz; gaps are bridged by straight lines."""
    from scipy.signal import butter, resample_poly, sosfiltfilt

    values = np.stack([_bridged(row) for row in recording.values])
    if recording.rate != RATE:
        ratio = Fraction(RATE / recording.rate).limit_denominator(1000)
        values = resample_poly(values, ratio.numerator, ratio.denominator, axis=1, padtype="line")
    pad = min(RATE, values.shape[1] - 1)
    smooth = sosfiltfilt(butter(4, _BAND[1], fs=RATE, output="sos"), values, axis=1, padtype="even", padlen=pad)
    steady = sosfiltfilt(butter(2, _BAND[0], "high", fs=RATE, output="sos"), smooth, axis=1, padtype="even", padlen=pad)
    rows = recording.rows(INDEPENDENT) or list(range(len(recording.names)))
    return Signals(smooth, steady, [row for row in rows if np.ptp(steady[row]) > LIVE])


def find_beats(found: Signals) -> Beats:
    """QRS complexes of a recording; none where no lead is alive."""
    from scipy.signal import find_peaks

    none = np.array([], dtype=np.intp)
    if not found.used:
        return Beats(none, none.astype(bool), none.astype(bool))
    steepness = _steepness(found.steady[found.used])
    seconds = max(1, len(steepness) // RATE)
    usual = float(np.percentile([part.max() for part in np.array_split(steepness, seconds)], 70))
    places, _ = find_peaks(steepness, height=0.35 * usual, distance=round(0.22 * RATE), prominence=0.3 * usual)
    return _sorted_by_shape(found.steady[found.used], places)


def rhythm(beats: Beats) -> Rhythm:
    """Rate and regularity; at least three beats are needed.

    Irregular means, after early beats are left out, an RMSSD over 10 % of the mean interval (Dash et al., Ann Biomed Eng 2009;37:1701) or a
    range over 30 % of it. Sinus arrhythmia of lesser degree counts as regular.
    """
    intervals = beats.intervals
    early = _early(beats)
    kept = np.array([gap for number, gap in enumerate(intervals) if not early[number] and not early[number + 1]])
    if len(kept) < max(2, len(intervals) // 3):
        kept = intervals
    mean = float(kept.mean())
    rmssd = float(np.sqrt(np.mean(np.diff(kept) ** 2))) / mean
    spread = float(np.ptp(kept)) / mean
    return Rhythm(60 / float(intervals.mean()), not (rmssd > 0.10 or spread > 0.30), int(early.sum()), rmssd, spread)


def aligned(found: Signals, beats: Beats) -> Places:
    """Places of the prevailing beats, moved so that their QRS complexes lie over each other."""
    rows = found.steady[found.used]
    before, after, reach = round(0.08 * RATE), round(0.10 * RATE), round(0.024 * RATE)
    places = beats.places[beats.prevailing]
    middle = np.median([rows[:, place - before : place + after] for place in places], axis=0)
    moved = []
    for place in places:
        shifts = [s for s in range(-reach, reach + 1) if place + s >= before and place + s + after <= rows.shape[1]]
        costs = [float(np.sum((rows[:, place + s - before : place + s + after] - middle) ** 2)) for s in shifts]
        moved.append(place + shifts[int(np.argmin(costs))])
    return np.array(moved, dtype=np.intp)


def levelled(found: Signals, places: Places, flat: slice) -> Array:
    """`smooth` less a spline through the flat stretch before every beat, which leaves ST and T as they are.

    Args:
        places: fiducial points of the beats.
        flat: where that stretch lies in a median beat.
    """
    from scipy.interpolate import CubicSpline

    starts = [place - BEFORE + flat.start for place in places]
    spans = [(start, start + flat.stop - flat.start) for start in starts if start >= 0]
    if len(spans) < 4:
        return found.steady
    knots = np.array([(a + b) / 2 for a, b in spans])
    levels = np.array([np.median(found.smooth[:, a:b], axis=1) for a, b in spans])
    times = np.clip(np.arange(found.smooth.shape[1]), knots[0], knots[-1])
    flattened: Array = found.smooth - CubicSpline(knots, levels)(times).T
    return flattened


def median_beat(values: Array, places: Places) -> Array:
    """Median of the stretches around `places`, shape [leads, BEFORE + AFTER]; NaN where no beat reaches."""
    padded = np.pad(values, ((0, 0), (BEFORE, AFTER)), constant_values=np.nan)
    stacked = np.stack([padded[:, place : place + BEFORE + AFTER] for place in places])
    kept = ~np.isnan(stacked[:, 0]).all(axis=0)
    beat = np.full(stacked.shape[1:], np.nan)
    beat[:, kept] = np.nanmedian(stacked[:, :, kept], axis=0)
    return beat


def _bridged(row: Array) -> Array:
    missing = ~np.isfinite(row)
    if missing.all():
        return np.zeros_like(row)
    if missing.any():
        row = row.copy()
        row[missing] = np.interp(np.flatnonzero(missing), np.flatnonzero(~missing), row[~missing])
    return row


def _steepness(rows: Array) -> Array:
    """Mean over the middle half of the leads of how fast each moves, each over its own usual fastest."""
    window = np.hanning(round(0.06 * RATE))
    moves = np.abs(np.gradient(rows, axis=1))
    moves = np.stack([np.convolve(row, window / window.sum(), "same") for row in moves])
    seconds = max(1, moves.shape[1] // RATE)
    usual = np.median([part.max(axis=1) for part in np.array_split(moves, seconds, axis=1)], axis=0)
    ranked = np.sort(moves / np.maximum(usual, 1e-9)[:, None], axis=0)
    cut = len(ranked) // _TRIM
    trimmed: Array = ranked[cut : len(ranked) - cut].mean(axis=0)
    return trimmed


def _sorted_by_shape(rows: Array, places: Places) -> Beats:
    """Beats that look like the one that most look like, each moved to where it looks so most."""
    before, after, reach = round(0.12 * RATE), round(0.16 * RATE), round(0.05 * RATE)
    padded = np.pad(rows, ((0, 0), (before + reach, after + reach)), mode="edge")
    shifts = list(range(0, 2 * reach + 1, 2))

    def shapes(shift: int) -> Array:
        cut = np.stack([padded[:, place + shift : place + shift + before + after] for place in places])
        flat = (cut - cut.mean(axis=2, keepdims=True)).reshape(len(places), -1)
        scaled: Array = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
        return scaled

    if len(places) < 2:
        return Beats(places, np.zeros(len(places), dtype=bool), np.zeros(len(places), dtype=bool))
    unmoved = shapes(reach)
    model = unmoved[int(((unmoved @ unmoved.T) > _SAME_SHAPE).sum(axis=1).argmax())]
    likeness = np.stack([shapes(shift) @ model for shift in shifts])
    alike = likeness.max(axis=0) > _SAME_SHAPE
    moved = np.where(alike, places + np.array(shifts)[likeness.argmax(axis=0)] - reach, places)
    whole = (moved >= before) & (moved <= rows.shape[1] - after)
    return Beats(moved.astype(np.intp), alike & whole, ~alike & whole)


def _early(beats: Beats) -> NDArray[np.bool_]:
    """Beats of another shape, and those that come well before their time and are followed by a longer pause."""
    intervals = beats.intervals
    early = beats.other.copy()
    usual = float(np.median(intervals))
    for number in range(1, len(intervals)):
        near = float(np.median(intervals[max(0, number - 3) : number + 3]))
        if intervals[number - 1] < _EARLY * min(near, usual) and intervals[number] > 0.95 * near:
            early[number] = True
    return early
