"""Blood pressure over a day (ABPM) and at home: means, dipping, load, morning surge, and whether there were readings enough.

ABPM by the European Society of Hypertension's position paper (O'Brien et al., J Hypertens 2013;31:1731), home readings by the Australian
consensus (Sharman et al., J Hypertens 2015;33:1721). Without a diary, 9 to 21 h is day and 1 to 6 h is night, as the position paper says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

import numpy as np
from numpy.typing import NDArray

from bedside.knowledge.device_thresholds import threshold
from bedside.reports.measure.form import gravest_first, measured, stated
from bedside.reports.model import DiagnosticReport, Finding, Measured, QualityNote, Signal, Span

Array = NDArray[np.float64]
_PLAUSIBLE = {"systolic": (70.0, 260.0), "diastolic": (40.0, 150.0)}
"""mm[Hg]; other readings are dropped, as the position paper does."""
_KPA = 7.50062
_ABPM_HOURS = 30.0
_DAY, _NIGHT = (time(9), time(21)), (time(1), time(6))
_WAKES = time(6)
_IRREGULAR = re.compile(r"\b(?:irregular|ihb|arrhythmi\w*|atrial fib\w*|a\.?f\.?(?:ib)?)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pressures:
    """Readings of one cuff.

    Attributes:
        hours: since `start`, rising, shape [n].
        systolic, diastolic: mm[Hg], shape [n].
        start: of the first reading.
        tried: readings that were tried, those that failed or were implausible among them.
    """

    hours: Array
    systolic: Array
    diastolic: Array
    start: datetime
    tried: int
    source: Span

    def clock(self) -> list[time]:
        """Time of day of each reading."""
        return [(self.start + timedelta(hours=float(hour))).time() for hour in self.hours]


@dataclass(frozen=True, slots=True)
class Sleep:
    """When a person slept.

    Attributes:
        day, night: from and to; a night may pass midnight.
        wakes: when they woke.
        diary: whether they said so.
    """

    day: tuple[time, time] = _DAY
    night: tuple[time, time] = _NIGHT
    wakes: time = _WAKES
    diary: bool = False

    @classmethod
    def from_diary(cls, asleep: time, awake: time) -> Sleep:
        """Night is from `asleep` to `awake`, day is the rest."""
        return cls(day=(awake, asleep), night=(asleep, awake), wakes=awake, diary=True)


def pressures(report: DiagnosticReport) -> Pressures | None:
    """The report's signals `systolic` and `diastolic`; None where one is missing or they have no times."""
    by_name = {signal.name.lower(): signal for signal in report.signals}
    upper, lower = by_name.get("systolic"), by_name.get("diastolic")
    if upper is None or lower is None or upper.times is None or upper.start is None or len(upper.values) != len(lower.values):
        return None
    order = np.argsort(upper.times, kind="stable")
    systolic, diastolic, hours = _mmhg(upper)[order], _mmhg(lower)[order], upper.times[order] / 3600
    good = np.isfinite(hours)
    for values, name in ((systolic, "systolic"), (diastolic, "diastolic")):
        low, high = _PLAUSIBLE[name]
        good &= np.isfinite(values) & (np.nan_to_num(values) >= low) & (np.nan_to_num(values) <= high)
    good &= np.nan_to_num(systolic) > np.nan_to_num(diastolic)
    return Pressures(hours[good], systolic[good], diastolic[good], upper.start, len(hours), upper.source)


def measure_blood_pressure(report: DiagnosticReport, sleep: Sleep | None = None) -> Measured:
    """Readings of up to 30 hours as ABPM, of more days as home readings.

    Args:
        sleep: from the person's diary; None: fixed clock times.
    """
    found = pressures(report)
    if found is None:
        return Measured()
    if not len(found.hours):
        text = f"None of {found.tried} readings is valid"
        return Measured(quality=(QualityNote(code="few_readings", text=text, grave=True, source=found.source),))
    irregular = _says_irregular(report)
    notes = [_irregular_note(found.source)] if irregular else []
    if float(np.ptp(found.hours)) <= _ABPM_HOURS:
        quality, findings = _abpm(found, sleep or Sleep())
    else:
        quality, findings = _home(found)
    return Measured(quality=gravest_first([*notes, *quality]), findings=tuple(findings))


def _abpm(found: Pressures, sleep: Sleep) -> tuple[list[QualityNote], list[Finding]]:
    clock = found.clock()
    day = np.array([_within(at, sleep.day) for at in clock])
    night = np.array([_within(at, sleep.night) for at in clock])
    how = "day and night by diary" if sleep.diary else "day 9 to 21 h, night 1 to 6 h (no diary)"
    findings = []
    for label, inside in (("24 h", np.ones(len(clock), dtype=bool)), ("Day", day), ("Night", night)):
        if inside.any():
            for side, values in (("systolic", found.systolic), ("diastolic", found.diastolic)):
                code = {"24 h systolic": "8490-5", "24 h diastolic": "8472-3"}.get(f"{label} {side}", "")
                findings.append(
                    measured(
                        f"{label} {side} mean", values[inside].mean(), "mm[Hg]", f"{inside.sum()} readings; {how}", found.source, code=code
                    )
                )
    if day.any() and night.any():
        findings += _night_fall(found, day, night, how)
        findings += [*_loads(found, day, night, how), *_surge(found, night, sleep)]
    findings.append(measured("Valid readings", 100 * len(clock) / found.tried, "%", f"of {found.tried} tried", found.source))
    return _abpm_notes(found, int(day.sum()), int(night.sum()), sleep), findings


def _night_fall(found: Pressures, day: NDArray[np.bool_], night: NDArray[np.bool_], how: str) -> list[Finding]:
    fall = 100 * (1 - float(found.systolic[night].mean()) / float(found.systolic[day].mean()))
    usual = threshold("bp.dipping")
    words = "reverse" if fall < 0 else "non-dipper" if fall < usual.low else "dipper" if fall <= usual.high else "extreme dipper"
    return [
        measured("Dipping", fall, "%", f"night under day systolic mean; {how}", found.source, digits=1),
        stated("Dipping pattern", words, how, found.source),
    ]


def _loads(found: Pressures, day: NDArray[np.bool_], night: NDArray[np.bool_], how: str) -> list[Finding]:
    findings = []
    for side, values in (("systolic", found.systolic), ("diastolic", found.diastolic)):
        over = int(
            (values[day] > threshold(f"bp.abpm_day_{side}").high).sum() + (values[night] > threshold(f"bp.abpm_night_{side}").high).sum()
        )
        share = 100 * over / int(day.sum() + night.sum())
        findings.append(measured(f"{side.capitalize()} load", share, "%", f"readings over the limit of their time; {how}", found.source))
    return findings


def _surge(found: Pressures, night: NDArray[np.bool_], sleep: Sleep) -> list[Finding]:
    """Mean systolic of the two hours after waking less the mean of the lowest at night and its neighbours (Kario et al., Circulation 2003;107:1401)."""
    until = (datetime.combine(datetime.min, sleep.wakes) + timedelta(hours=2)).time()
    after = np.array([_within(at, (sleep.wakes, until)) for at in found.clock()])
    if after.sum() < 2 or night.sum() < 3:
        return []
    asleep = found.systolic[night]
    lowest = int(asleep.argmin())
    rise = float(found.systolic[after].mean()) - float(asleep[max(0, lowest - 1) : lowest + 2].mean())
    return [measured("Morning surge", rise, "mm[Hg]", f"2 h after {sleep.wakes:%H:%M} less the lowest at night", found.source)]


def _abpm_notes(found: Pressures, day: int, night: int, sleep: Sleep) -> list[QualityNote]:
    valid = 100 * len(found.hours) / found.tried
    need = {name: threshold(f"bp.abpm_{name}").low for name in ("valid", "day_count", "night_count")}
    notes = []
    if valid < need["valid"] or day < need["day_count"] or night < need["night_count"]:
        text = f"{valid:.0f} % of readings are valid, {day} by day and {night} at night; {need['valid']:g} %, {need['day_count']:g} and {need['night_count']:g} are needed: repeat"
        notes.append(QualityNote(code="few_readings", text=text, grave=True, source=found.source))
    if not sleep.diary:
        notes.append(
            QualityNote(
                code="no_diary", text="No diary of sleep: day and night are by the clock, and dipping is uncertain", source=found.source
            )
        )
    return notes


def _home(found: Pressures) -> tuple[list[QualityNote], list[Finding]]:
    days = [(found.start + timedelta(hours=float(hour))).date() for hour in found.hours]
    kept = np.array([day != days[0] for day in days])
    count, need = len(set(days)) - 1, threshold("bp.home_days").low
    method = f"{int(kept.sum())} readings on {count} days, the first day left out"
    hours = np.array([at.hour for at in found.clock()])[kept]
    notes = []
    if count < need:
        text = f"{count} days of readings after the first; {need:g} are needed, twice daily: repeat"
        notes.append(QualityNote(code="few_readings", text=text, grave=True, source=found.source))
    if not ((hours < 12).any() and (hours >= 12).any()):
        part = "morning" if (hours < 12).all() else "evening"
        notes.append(
            QualityNote(
                code="one_part_of_day", text=f"All readings are from the {part}; both parts of the day are needed", source=found.source
            )
        )
    findings = [
        measured("Home systolic mean", found.systolic[kept].mean(), "mm[Hg]", method, found.source, code="96609-3"),
        measured("Home diastolic mean", found.diastolic[kept].mean(), "mm[Hg]", method, found.source, code="96608-5"),
    ]
    return notes, findings


def _mmhg(signal: Signal) -> Array:
    return signal.values * (_KPA if signal.unit == "kPa" else 1.0)


def _within(at: time, part: tuple[time, time]) -> bool:
    first, last = part
    return first <= at < last if first <= last else at >= first or at < last


def _says_irregular(report: DiagnosticReport) -> bool:
    texts = [
        *report.comments,
        *(finding.text for finding in report.findings),
        *(note for finding in report.findings for note in finding.comments),
    ]
    return any(_IRREGULAR.search(text) for text in texts)


def _irregular_note(source: Span) -> QualityNote:
    text = "The device says that the pulse is irregular: automatic readings are unreliable; measure three times, or by ear"
    return QualityNote(code="irregular_pulse", text=text, source=source)
