"""Figures of a report as SVG text, each with a text alternative: ECG on millimetre paper, glucose profile, blood pressure by day, spirometry."""

from __future__ import annotations

import io
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from bedside.reports.measure.abpm import Pressures, pressures
from bedside.reports.measure.cgm import MGDL_PER_MMOL, Readings, profile, ranges, readings
from bedside.reports.measure.ecg_beats import RATE, signals
from bedside.reports.measure.leads import Recording, recordings
from bedside.reports.measure.spirometry import Session, Value, session
from bedside.reports.model import DiagnosticReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SECONDS, _COLUMN, _ROW = 10.0, 2.5, 3.0
"""Of an ECG sheet; of a lead's column; mV between rows."""
_ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
_PAPER, _BIG, _INK = "#f6c9c9", "#e39a9a", "#111111"
_DAY, _NIGHT = "#1f5fa8", "#d7dde6"


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure.

    Attributes:
        title: what it shows.
        svg: the picture, without an XML prologue; its title and description stand in it.
        alternative: the same in words.
    """

    title: str
    svg: str
    alternative: str


def plots(report: DiagnosticReport) -> list[Plot]:
    """All figures that a report's signals and values give."""
    found = [ecg_strip(one) for one in recordings(report.signals)[:1]]
    for signal in report.signals:
        if signal.name.lower().startswith("glucose") and len((kept := readings(signal)).values) > 1:
            found.append(glucose_profile(kept))
    if (cuff := pressures(report)) is not None and len(cuff.hours) > 1:
        found.append(pressure_curve(cuff))
    if (blown := session(report.findings, report.comments)) is not None and any(
        value.score() is not None for value in blown.before.values()
    ):
        found.append(spirometry_scores(blown))
    return found


def ecg_strip(recording: Recording) -> Plot:
    """Ten seconds at 25 mm/s and 10 mm/mV: four columns of three leads and lead II below; other sets of leads one below the other."""
    values, seconds = signals(recording).steady, min(_SECONDS, recording.seconds)
    figure, axes = _figure(10.4, 5.6)
    twelve = all(name in recording.names for row in _ROWS for name in row)
    lines = len(_ROWS) + 1 if twelve else min(12, len(recording.names))
    _millimetres(axes, seconds, lines)
    if twelve:
        for line, row in enumerate(_ROWS):
            for column, name in enumerate(row):
                _trace(
                    axes, values[recording.names.index(name)], name, -line * _ROW, column * _COLUMN, min(seconds, (column + 1) * _COLUMN)
                )
        _trace(axes, values[recording.names.index("II")], "II", -(lines - 1) * _ROW, 0, seconds)
    else:
        for line, name in enumerate(recording.names[:lines]):
            _trace(axes, values[line], name, -line * _ROW, 0, seconds)
    text = f"{len(recording.names)} leads ({', '.join(recording.names)}), {seconds:.0f} s, 25 mm/s, 10 mm/mV, 0.5 to 40 Hz"
    return _plot(figure, "ECG", text)


def glucose_profile(found: Readings) -> Plot:
    """Median and centiles of all days by the time of day, mmol/L, over the target range."""
    minutes, rows = profile(found)
    rows = rows / (MGDL_PER_MMOL if found.unit == "mg/dL" else 1.0)
    figure, axes = _figure(9, 4)
    hours = minutes / 60
    axes.axhspan(3.9, 10.0, color="#dff0dd")
    axes.fill_between(hours, rows[0], rows[4], color=_DAY, alpha=0.15, label="5th to 95th centile")
    axes.fill_between(hours, rows[1], rows[3], color=_DAY, alpha=0.3, label="25th to 75th centile")
    axes.plot(hours, rows[2], color=_DAY, label="median")
    axes.axhline(3.0, color="#a01818", linewidth=0.8, linestyle="--")
    axes.set(
        xlim=(0, 24),
        ylim=(2, max(14.0, float(np.nanmax(rows[4])) + 1)),
        xlabel="time of day, hours",
        ylabel="glucose, mmol/L",
        xticks=range(0, 25, 3),
    )
    axes.legend(loc="upper right", fontsize=8)
    shares = ranges(found)
    at = float(hours[int(np.nanargmin(rows[2]))])
    text = f"Median glucose by time of day from {np.nanmin(rows[2]):.1f} (about {at:.0f} h) to {np.nanmax(rows[2]):.1f} mmol/L; {shares.target:.0f} % of readings in range"
    return _plot(figure, "Ambulatory glucose profile", text)


def pressure_curve(found: Pressures) -> Plot:
    """Systolic and diastolic readings over the hours since the first."""
    figure, axes = _figure(9, 4)
    first = found.start.hour + found.start.minute / 60
    hours = found.hours + first
    for night in range(int(hours[0] // 24), int(hours[-1] // 24) + 1):
        start, end = max(hours[0], night * 24 + 22), min(hours[-1], night * 24 + 31)
        if start < end:
            axes.axvspan(start, end, color=_NIGHT)
    for values, name, marker in ((found.systolic, "systolic", "o"), (found.diastolic, "diastolic", "s")):
        axes.plot(hours, values, marker=marker, markersize=3, linewidth=1, label=name, color=_DAY if name == "systolic" else "#7a4fa3")
    axes.axhline(135, color="#a01818", linewidth=0.8, linestyle="--")
    axes.axhline(85, color="#a01818", linewidth=0.8, linestyle="--")
    axes.set(xlabel="hours from midnight of the first day (22 to 7 h shaded)", ylabel="mmHg")
    axes.legend(loc="upper right", fontsize=8)
    text = f"{len(hours)} readings: systolic {found.systolic.min():.0f} to {found.systolic.max():.0f}, diastolic {found.diastolic.min():.0f} to {found.diastolic.max():.0f} mmHg"
    return _plot(figure, "Blood pressure", text)


def spirometry_scores(found: Session) -> Plot:
    """z-scores of FEV1, FVC and their ratio beside the lower limit of normal."""
    values = {"FEV1": found.before.get("FEV1", Value()), "FVC": found.before.get("FVC", Value()), "FEV1/FVC": found.ratio()}
    scores = {name: score for name, value in values.items() if (score := value.score()) is not None}
    figure, axes = _figure(7, 2.4)
    axes.axvspan(-1.645, 1.645, color="#dff0dd")
    axes.plot(list(scores.values()), list(scores), "o", color=_DAY)
    axes.set(
        xlim=(min(-5, *scores.values()) - 0.5, max(3, *scores.values()) + 0.5), xlabel="z-score (green: between the 5th and 95th centile)"
    )
    axes.invert_yaxis()
    text = ", ".join(f"{name} z {score:.2f}" for name, score in scores.items())
    return _plot(figure, "Spirometry", f"{text}; the lower limit of normal is -1.645")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _millimetres(axes: Axes, seconds: float, lines: int) -> None:
    low, high = -(lines - 1) * _ROW - 1.5, 1.5
    for step, colour, width in ((0.04, _PAPER, 0.25), (0.2, _BIG, 0.5)):
        axes.vlines(np.arange(0, seconds + step / 2, step), low, high, colors=colour, linewidth=width)
        axes.hlines(np.arange(low, high + step * 1.25, step * 2.5), 0, seconds, colors=colour, linewidth=width)
    axes.set(xlim=(0, seconds), ylim=(low, high), aspect=0.4)
    axes.set_axis_off()


def _trace(axes: Axes, row: Any, name: str, level: float, start: float, end: float) -> None:
    places = np.arange(int(start * RATE), min(int(end * RATE), len(row)), 2)
    axes.plot(places / RATE, np.clip(row[places], -2.5, 2.5) + level, color=_INK, linewidth=0.6)
    axes.text(start + 0.05, level + 1.0, name, fontsize=8, color=_INK)


def _plot(figure: Figure, title: str, alternative: str) -> Plot:
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bedside"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    drawing = out.getvalue()
    inner = drawing[drawing.index("<svg") :]
    head, rest = inner.split(">", 1)
    named = f'{head} role="img" aria-label="{escape(title)}"><title>{escape(title)}</title><desc>{escape(alternative)}</desc>{rest}'
    return Plot(title, named.strip(), alternative)
