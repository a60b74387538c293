"""Glucose sensor metrics by the international consensus (Battelino et al., Diabetes Care 2019;42:1593; Danne et al. 2017;40:1631).

A mg/dL export is compared with 54/70/180/250 mg/dL and a mmol/L export with 3.0/3.9/10.0/13.9 mmol/L, as each device counts. Definitions
of the percent active and of episodes are those of the R package iglu 4.3 (Broll et al., PLoS One 2021;16:e0248560).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from bedside.knowledge.device_thresholds import threshold
from bedside.reports.measure.form import gravest_first, measured, stated
from bedside.reports.model import DiagnosticReport, Finding, Measured, QualityNote, Signal

Array = NDArray[np.float64]
MGDL_PER_MMOL = 18.0156
"""Molar mass of glucose, g/mol, over 10."""
_LIMITS = {"mg/dL": (54.0, 70.0, 180.0, 250.0), "mmol/L": (3.0, 3.9, 10.0, 13.9)}
_RESOLUTION = {"mg/dL": 1.0, "mmol/L": 0.1}
_POSSIBLE = (1.0, 40.0)
"""mmol/L that a sensor can show."""
_GAP, _EPISODE = 45.0, 15.0
"""Minutes over which readings are not joined; that an episode lasts, and that it takes to end."""
_DAY = 1440.0
CENTILES = (5, 25, 50, 75, 95)
"""Of the ambulatory glucose profile."""
_METHOD = "readings of the sensor; consensus 2019"


@dataclass(frozen=True, slots=True)
class Readings:
    """Sensor readings.

    Attributes:
        minutes: since the first, rising, shape [n].
        values: in `unit`, shape [n].
        unit: `mg/dL` or `mmol/L`: that of the device.
        start: of the first reading; None where the report has no clock.
        dropped: readings that were none: empty, impossible, or a second one of the same moment.
    """

    minutes: Array
    values: Array
    unit: str
    start: datetime | None
    dropped: int


@dataclass(frozen=True, slots=True)
class Ranges:
    """Shares of readings, percent."""

    very_low: float
    low: float
    """Level 1 alone: from 3.0 to below 3.9 mmol/L."""
    target: float
    high: float
    """Level 1 alone: above 10.0 to 13.9 mmol/L."""
    very_high: float


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of low glucose.

    Attributes:
        start, end: minutes since the first reading.
        lowest: in the readings' unit.
    """

    start: float
    end: float
    lowest: float


def readings(signal: Signal) -> Readings:
    """A glucose signal, in order of time and without what is no reading.

    mmol/L with more than one decimal was converted from mg/dL and is taken back, so that it counts as the device counted.
    """
    times = signal.times if signal.times is not None else np.arange(len(signal.values)) / (signal.rate or 1 / 300)
    order = np.argsort(times, kind="stable")
    minutes, values, unit = times[order] / 60, signal.values[order], signal.unit
    if unit == "mmol/L" and len(values) and not np.allclose(np.nan_to_num(values) * 10, np.rint(np.nan_to_num(values) * 10), atol=1e-3):
        values, unit = np.rint(values * MGDL_PER_MMOL), "mg/dL"
    scale = MGDL_PER_MMOL if unit == "mg/dL" else 1.0
    good = np.isfinite(values) & np.isfinite(minutes) & (values >= _POSSIBLE[0] * scale) & (values <= _POSSIBLE[1] * scale)
    minutes, values = minutes[good], values[good]
    first = np.concatenate([[True], np.diff(minutes) > 0]) if len(minutes) else np.array([], dtype=bool)
    start = signal.start + timedelta(minutes=float(minutes[0])) if signal.start and len(minutes) else None
    kept = minutes[first]
    return Readings(kept - kept[0] if len(kept) else kept, values[first], unit, start, len(signal.values) - len(kept))


def ranges(found: Readings) -> Ranges:
    """Shares of readings in the five ranges of the consensus."""
    very_low, low, high, very_high = _LIMITS[found.unit]
    values = np.rint(found.values / _RESOLUTION[found.unit]) * _RESOLUTION[found.unit] + 1e-9

    def share(inside: NDArray[np.bool_]) -> float:
        return 100 * float(inside.mean())

    under, over = values < very_low, values > very_high + 1e-6
    below, above = values < low, values > high + 1e-6
    return Ranges(share(under), share(below & ~under), share(~below & ~above), share(above & ~over), share(over))


def percent_active(found: Readings) -> float:
    """Share of the expected readings between the first and the last that are there, percent."""
    gaps = np.diff(found.minutes)
    step = _step(found)
    expected = round(float(found.minutes[-1]) / step) + 1
    long = gaps[gaps > step]
    return 100 * (expected - round(float((long - step).sum()) / step)) / expected


def gmi_percent(mean_mgdl: float) -> float:
    """Glucose management indicator, NGSP percent (Bergenstal et al., Diabetes Care 2018;41:2275)."""
    return 3.31 + 0.02392 * mean_mgdl


def gmi_mmol_per_mol(mean_mmol: float) -> float:
    """Glucose management indicator, IFCC mmol/mol (the same source)."""
    return 12.71 + 4.70587 * mean_mmol


def low_episodes(found: Readings, below: float) -> list[Episode]:
    """Stretches of at least 15 minutes under `below` (the readings' unit); each ends with 15 minutes not under it.

    Readings are joined by straight lines on the sensor's own step from midnight on, where less than 45 minutes lie between them.
    """
    grid, values = _grid(found)
    need = int(np.ceil(_EPISODE / _step(found)))
    episodes: list[Episode] = []
    for first, last in _runs(np.isfinite(values)):
        stretches = [(first + a, first + b) for a, b in _runs(values[first : last + 1] < below)]
        joined: list[tuple[int, int]] = []
        for a, b in stretches:
            if joined and a - joined[-1][1] - 1 < need:
                joined[-1] = (joined[-1][0], b)
            elif b - a + 1 >= need:
                joined.append((a, b))
        episodes += [Episode(float(grid[a]), float(grid[b]), float(values[a : b + 1].min())) for a, b in joined]
    return episodes


def profile(found: Readings, step: int = 15) -> tuple[Array, Array]:
    """Ambulatory glucose profile: minutes of the day, shape [m], and `CENTILES` of all days' readings there, shape [5, m]."""
    clock = (found.minutes + _offset(found)) % _DAY
    bins = np.arange(0, _DAY, step)
    rows = [found.values[np.abs((clock - at - step / 2 + _DAY / 2) % _DAY - _DAY / 2) <= step] for at in bins]
    centiles = np.array([np.percentile(row, CENTILES) if len(row) else [np.nan] * len(CENTILES) for row in rows])
    return bins + step / 2, centiles.T


def compression_lows(found: Readings) -> int:
    """Lows at night that look like a body lying on the sensor: a sudden fall, at most 90 minutes, and a rise as sudden.

    A fall and a rise of over 1.7 mmol/L within 20 minutes at both ends are beyond what glucose does unfed and asleep
    (Baysal et al., J Diabetes Sci Technol 2014;8:283); a suspicion, no proof.
    """
    scale = MGDL_PER_MMOL if found.unit == "mg/dL" else 1.0
    hour = ((found.minutes + _offset(found)) % _DAY) / 60
    count = 0
    for episode in low_episodes(found, _LIMITS[found.unit][1]):
        at = int(np.searchsorted(found.minutes, episode.start))
        night = hour[min(at, len(hour) - 1)] >= 22 or hour[min(at, len(hour) - 1)] < 7
        before = _near(found, episode.start, -20)
        after = _near(found, episode.end, 20)
        sudden = min(before, after) - episode.lowest > 1.7 * scale
        if night and episode.end - episode.start <= 90 and sudden:
            count += 1
    return count


def measure_cgm(report: DiagnosticReport) -> Measured:
    """Quality, then the consensus metrics of the report's glucose signal.

    Returns:
        Nothing where the report has no glucose signal; only quality where it holds fewer than two readings.
    """
    signal = next((one for one in report.signals if one.name.lower().startswith("glucose") and one.unit in _LIMITS), None)
    if signal is None:
        return Measured()
    found = readings(signal)
    if len(found.values) < 2:
        text = f"{len(found.values)} glucose readings; nothing can be measured"
        return Measured(quality=(QualityNote(code="few_readings", text=text, grave=True, source=signal.source),))
    return Measured(quality=gravest_first(_notes(found, signal)), findings=tuple(_findings(found, signal)))


def _notes(found: Readings, signal: Signal) -> list[QualityNote]:
    notes = []
    days, active = float(found.minutes[-1]) / _DAY, percent_active(found)
    need_days, need_active = threshold("cgm.days").low, threshold("cgm.active").low
    if days < need_days - 0.5:
        text = f"{days:.1f} days of readings; {need_days:g} are needed for a picture of usual control"
        notes.append(QualityNote(code="too_short", text=text, grave=days < 1, source=signal.source))
    if active < need_active:
        text = f"The sensor was active {active:.0f} % of the time; under {need_active:g} % mean, GMI and times in ranges are unreliable"
        notes.append(QualityNote(code="inactive", text=text, grave=True, source=signal.source))
    if found.dropped:
        text = f"{found.dropped} entries were no readings (empty, impossible, or of the same moment)"
        notes.append(QualityNote(code="dropped_readings", text=text, source=signal.source))
    if count := compression_lows(found):
        text = f"{count} short sudden lows at night may be pressure on the sensor rather than low glucose"
        notes.append(QualityNote(code="compression", text=text, source=signal.source))
    return notes


def _findings(found: Readings, signal: Signal) -> list[Finding]:
    source, shares = signal.source, ranges(found)
    scale = MGDL_PER_MMOL if found.unit == "mg/dL" else 1.0
    mean, sd = float(found.values.mean()), float(found.values.std(ddof=1))
    lows, severe = (len(low_episodes(found, _LIMITS[found.unit][place])) for place in (1, 0))

    def share(name: str, value: float, code: str = "") -> Finding:
        return measured(name, value, "%", _METHOD, source, code=code, digits=1)

    return [
        share("Time in range", shares.target, "97510-2"),
        share("Time below range", shares.low + shares.very_low),
        share("TBR level 1", shares.low, "104641-6"),
        share("TBR level 2", shares.very_low, "104642-4"),
        share("Time above range", shares.high + shares.very_high),
        share("TAR level 1", shares.high, "104640-8"),
        share("TAR level 2", shares.very_high, "104639-0"),
        measured("Mean glucose", mean / scale, "mmol/L", _METHOD, source, code="105273-7", digits=1),
        measured("Mean glucose", mean / scale * MGDL_PER_MMOL, "mg/dL", _METHOD, source, code="97507-8"),
        measured("Glucose SD", sd / scale, "mmol/L", _METHOD, source, digits=1),
        share("Coefficient of variation", 100 * sd / mean, "104638-2"),
        measured("GMI", gmi_percent(mean / scale * MGDL_PER_MMOL), "%", "3.31 + 0.02392 × mean in mg/dL", source, code="97506-0", digits=2),
        measured("GMI (IFCC)", gmi_mmol_per_mol(mean / scale), "mmol/mol", "12.71 + 4.70587 × mean in mmol/L", source, digits=1),
        share("Sensor active", percent_active(found), "104637-4"),
        measured("Sensor days", float(found.minutes[-1]) / _DAY, "d", _METHOD, source, code="104636-6", digits=1),
        stated("Low glucose episodes", f"{lows} of at least 15 minutes below 3.9 mmol/L; {severe} below 3.0 mmol/L", _METHOD, source),
    ]


def _step(found: Readings) -> float:
    """The sensor's own step, minutes."""
    return max(1.0, float(round(float(np.median(np.diff(found.minutes))))))


def _offset(found: Readings) -> float:
    """Minutes from midnight to the first reading."""
    start = found.start
    return 0.0 if start is None else start.hour * 60 + start.minute + start.second / 60


def _grid(found: Readings) -> tuple[Array, Array]:
    """Even times (minutes since the first reading) and values there; NaN in gaps."""
    step = _step(found)
    first = -(_offset(found) % step) + step
    grid = np.arange(first, float(found.minutes[-1]) + 1e-6, step)
    values = np.interp(grid, found.minutes, found.values)
    after = np.clip(np.searchsorted(found.minutes, grid, side="left"), 1, len(found.minutes) - 1)
    values[found.minutes[after] - found.minutes[after - 1] > _GAP] = np.nan
    return grid, values


def _runs(inside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last place of every stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _near(found: Readings, moment: float, within: float) -> float:
    low, high = sorted((moment, moment + within))
    inside = found.values[(found.minutes >= low) & (found.minutes <= high)]
    return float(inside.max()) if len(inside) else float("-inf")
