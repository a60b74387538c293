"""The figures of a report as inline SVG: real text, colours of the page, no address of any other place."""

from __future__ import annotations

import html
import io
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from bedside.evaluation.scorers import IntentScore
from bedside.evaluation.statistics import Calibration, Interval, Latency

# Figures are drawn at about the width of a phone, so that their text is readable there without zoom.
_WIDTH = 4.0
_LABEL = 18
_INK, _GRID, _PAPER = "#010101", "#020202", "#030303"
_SERIES = ("#040404", "#050505", "#060606", "#070707", "#080808", "#090909")
_CSS_COLOURS = {
    _INK: "currentColor",
    _GRID: "var(--line)",
    _PAPER: "var(--paper)",
    **{colour: f"var(--series-{i})" for i, colour in enumerate(_SERIES, 1)},
}
_MARKERS = "osD^vP"
_STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": f"cycler(color={list(_SERIES)})",
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _GRID,
    "legend.frameon": False,
    "hatch.color": _PAPER,
    "hatch.linewidth": 1.5,
}


@dataclass(frozen=True)
class Plot:
    """A figure of a report.

    Attributes:
        title: what it shows.
        svg: an `<svg>` element for the body of an HTML page that defines `--line`, `--paper` and `--series-1` to `--series-6`.
        summary: the same in words, also the alternative text of the SVG.
    """

    title: str
    svg: str
    summary: str


def scores_plot(scores: Mapping[str, Mapping[str, Interval]], labels: Mapping[str, str]) -> Plot:
    """Bars with error bars: every metric of every system.

    Args:
        scores: system to metric to interval.
        labels: metric to its name for people, in the order shown.
    """
    height = 0.8 / len(scores)
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(0.9 + 0.25 * len(scores) + len(labels) * (0.25 + 0.17 * len(scores)))
        for i, (system, metrics) in enumerate(scores.items()):
            named = [metrics.get(metric, Interval(math.nan, math.nan, math.nan)) for metric in labels]
            at = np.arange(len(labels)) + (i - (len(scores) - 1) / 2) * height
            values = np.array([interval.value for interval in named])
            errors = np.array([[interval.value - interval.low, interval.high - interval.value] for interval in named]).T
            # A skewed bootstrap may put the value itself outside its percentile interval.
            axes.barh(at, values, height * 0.9, xerr=errors.clip(min=0), color=_series(i), ecolor=_INK, capsize=2, label=system)
        axes.set_yticks(range(len(labels)), [_wrapped(label) for label in labels.values()])
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xlabel("score, with 95 % interval")
        axes.grid(axis="x")
        _legend_above(figure, 1)
        spoken = "; ".join(
            f"{label}: " + ", ".join(f"{system} {metrics[metric].value:.3f}" for system, metrics in scores.items() if metric in metrics)
            for metric, label in labels.items()
        )
        return _plot(figure, "Scores of the systems", f"Bar chart of each metric for each system. {spoken}.")


def reliability_plot(calibrations: Mapping[str, Calibration]) -> Plot:
    """Reliability diagram: share right against mean probability of each bin, for each system.

    Args:
        calibrations: system to its calibration.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(3.9 + 0.22 * len(calibrations))
        axes.plot([0, 1], [0, 1], linestyle="--", color=_INK, linewidth=1, label="perfectly calibrated")
        for i, (system, calibration) in enumerate(calibrations.items()):
            filled = [b for b in calibration.bins if b.count]
            points = ([b.confidence for b in filled], [b.accuracy for b in filled])
            axes.plot(*points, color=_series(i), marker=_MARKERS[i % len(_MARKERS)], label=f"{system} (ECE {calibration.ece:.3f})")
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="mean probability of the predicted intents", ylabel="share right")
        axes.grid()
        _legend_above(figure, 1)
        spoken = ", ".join(f"{system} {calibration.ece:.3f}" for system, calibration in calibrations.items())
        summary = f"Share of predicted intents that are right, against their probability. Expected calibration error: {spoken}."
        return _plot(figure, "Reliability", summary)


def intents_plot(scores: Mapping[str, IntentScore]) -> Plot:
    """Bars of F1 for each intent, in the order given."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(0.7 + 0.22 * len(scores))
        values = [score.f1 for score in scores.values()]
        axes.barh(range(len(values)), values, 0.75, color=_series(0))
        axes.set_yticks(range(len(values)), [f"{intent} ({score.support})" for intent, score in scores.items()])
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xlabel("F1")
        axes.grid(axis="x")
        perfect = sum(value == 1 for value in values)
        summary = f"Bar chart of F1 of {len(values)} intents, {perfect} of them at 1; support in brackets, values in the table."
        return _plot(figure, "F1 of each intent", summary)


def latency_plot(seconds: Sequence[float], latency: Latency) -> Plot:
    """Histogram of durations, with the median and the 95th percentile marked."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(3.3)
        axes.hist(np.array(seconds) * 1000, bins=30, color=_series(0))
        for value, name, line in ((latency.p50, "p50", "--"), (latency.p95, "p95", ":")):
            axes.axvline(value * 1000, color=_INK, linestyle=line, linewidth=1.5, label=f"{name} {value * 1000:.1f} ms")
        axes.set(xlabel="time to answer, ms", ylabel="turns")
        axes.set_xlim(left=0)
        _legend_above(figure, 2)
        percentiles = f"median {latency.p50 * 1000:.1f} ms, 95th percentile {latency.p95 * 1000:.1f} ms"
        summary = f"Histogram of the time to answer of {len(seconds)} turns: {percentiles}."
        return _plot(figure, "Latency", summary)


def entropy_plot(right: Sequence[float], wrong: Sequence[float]) -> Plot:
    """Histograms of the entropy of right and of wrong decisions, each as a share of its own kind."""
    edges = np.linspace(0, max([*right, *wrong, 1e-9]), 21)
    kinds = (("right", right, ""), ("wrong", wrong, "//"))
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(3.3)
        for i, (kind, values, hatch) in enumerate(kinds):
            share = np.histogram(values, edges)[0] / max(1, len(values))
            offset = (i - 0.5) * 0.45 * (edges[1] - edges[0])
            centres = (edges[:-1] + edges[1:]) / 2 + offset
            width = 0.45 * (edges[1] - edges[0])
            axes.bar(centres, share, width, color=_series(i), hatch=hatch, linewidth=0, label=f"{kind} ({len(values)})")
        axes.set(xlabel="entropy of the decision, nats", ylabel="share of its kind")
        _legend_above(figure, 2)
        spoken = ", ".join(f"median of {len(values)} {kind} {np.median(values):.3f}" for kind, values, _ in kinds if values)
        return _plot(figure, "Entropy when right and when wrong", f"Histograms of the entropy of decisions, in nats: {spoken}.")


def _canvas(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def _series(i: int) -> str:
    return _SERIES[i % len(_SERIES)]


def _legend_above(figure: Figure, columns: int) -> None:
    figure.legend(loc="outside upper left", ncols=columns)


def _wrapped(label: str) -> str:
    """A label on several short lines, the first of them ending at a comma where there is one."""
    return "\n".join(textwrap.fill(part, _LABEL) for part in label.replace(", ", ",\n").splitlines())


def _plot(figure: Figure, title: str, summary: str) -> Plot:
    stream = io.StringIO()
    prefix = re.sub(r"\W+", "-", title.lower())
    without_metadata: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": prefix}):
        figure.savefig(stream, format="svg", transparent=True, metadata=without_metadata)
    return Plot(title, _inline(stream.getvalue(), prefix, summary), summary)


def _inline(document: str, prefix: str, summary: str) -> str:
    """An SVG document as an element of a page: unique ids, the page's colours and font, no namespaces."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{prefix}-", svg)
    svg = re.sub(r"(font: [\d.]+px) [^;\"]*", r"\1 var(--font)", svg)
    for colour, variable in _CSS_COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(summary)}"', 1)
