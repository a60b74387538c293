"""The report of an evaluation: one HTML file that needs nothing else, made to be read by a clinician and checked by an engineer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from bedside.evaluation.plots import Plot, entropy_plot, intents_plot, latency_plot, reliability_plot, scores_plot
from bedside.evaluation.scorers import METRICS
from bedside.evaluation.scores import Difference, RunFacts, SystemScores
from bedside.evaluation.statistics import Comparison, Interval
from bedside.workspace.files import written_whole

NOTICE = "Not a medical device. Not for clinical use without validation."

_UNDEFINED = "\N{EN DASH}"


def write_report(
    path: Path,
    title: str,
    systems: Mapping[str, SystemScores],
    *,
    shipped: str,
    differences: Sequence[Difference],
    counts: Mapping[str, int],
    facts: RunFacts,
) -> None:
    """Write a report as one self-contained HTML file: no script, no address of another place.

    Args:
        path: the file to write.
        title: the report's heading.
        systems: name to scores, in the order shown.
        shipped: the name of the system that ships; the figures of one system, and the list of what went wrong, are its own.
        differences: paired comparisons; may be empty.
        counts: what the data holds, in words and numbers.
        facts: when, on what and from what.

    Raises:
        ValueError: `shipped` is not among the systems.
        WorkspaceError: the file cannot be written.
    """
    if shipped not in systems:
        raise ValueError(f"the shipped system {shipped!r} is not among {sorted(systems)}")
    labels = _labels(systems)
    page = _template().render(
        title=title,
        notice=NOTICE,
        systems=systems,
        shipped=shipped,
        ours=systems[shipped],
        labels=labels,
        metrics=METRICS,
        differences=_by_pair(differences),
        counts=counts,
        facts=facts,
        plots=_plots(systems, shipped, labels),
        intents=_by_f1(systems[shipped]),
    )
    with written_whole(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _labels(systems: Mapping[str, SystemScores]) -> dict[str, str]:
    """Every metric that a system has, to its name for people: those of `METRICS` first."""
    present = dict.fromkeys(name for scores in systems.values() for name in scores.metrics)
    ordered = [name for name in METRICS if name in present] + [name for name in present if name not in METRICS]
    return {name: _label(name) for name in ordered}


def _label(metric: str) -> str:
    if metric not in METRICS:
        return metric.replace("_", " ")
    known = METRICS[metric]
    return known.label if known.higher_is_better else f"{known.label} (lower is better)"


def _by_f1(scores: SystemScores) -> dict[str, Any]:
    """The intents, best first; of equals, the one with most support first."""
    return dict(sorted(scores.per_intent.items(), key=lambda item: (-item[1].f1, -item[1].support, item[0])))


def _by_pair(differences: Sequence[Difference]) -> dict[str, dict[str, dict[str, Comparison]]]:
    """First system to second system to metric to comparison."""
    pairs: dict[str, dict[str, dict[str, Comparison]]] = {}
    for d in differences:
        pairs.setdefault(d.first, {}).setdefault(d.second, {})[d.metric] = d.comparison
    return pairs


def _plots(systems: Mapping[str, SystemScores], shipped: str, labels: Mapping[str, str]) -> dict[str, Plot]:
    ours = systems[shipped]
    return {
        "scores": scores_plot({name: scores.metrics for name, scores in systems.items()}, labels),
        "reliability": reliability_plot({name: scores.calibration for name, scores in systems.items()}),
        "intents": intents_plot(_by_f1(ours)),
        "latency": latency_plot(ours.seconds, ours.latency),
        "entropy": entropy_plot(ours.entropy_right, ours.entropy_wrong),
    }


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bedside.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(score=_score, signed=_signed, interval=_interval, p=_p, ms=_ms, gib=_gib, name=_name, svg=_svg)
    return environment.get_template("report.html.j2")


def _score(value: float) -> str:
    return _UNDEFINED if math.isnan(value) else f"{value:.3f}"


def _signed(value: float) -> str:
    if math.isnan(value):
        return _UNDEFINED
    shown = f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
    return shown if float(f"{value:.3f}") else "0.000"


def _interval(interval: Interval, signed: bool = False) -> str:
    if math.isnan(interval.low) or math.isnan(interval.high):
        return ""
    show = _signed if signed else _score
    return f"{show(interval.low)} to {show(interval.high)}"


def _p(value: float) -> str:
    if math.isnan(value):
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size else "unknown"


def _name(intent: str) -> Markup:
    """An intent's name that may break after an underscore."""
    return escape(intent).replace("_", Markup("_<wbr>"))


def _svg(plot: Plot) -> Markup:
    """The figure as it is: `plots` escaped what came from outside."""
    return Markup(plot.svg)
