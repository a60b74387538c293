"""An assessment as one HTML page: no script, nothing from elsewhere, fit for print and for a narrow screen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from bedside.reports.assistant import DISCLAIMER, Assessment, as_json, missing_text

if TYPE_CHECKING:
    from bedside.reports.plots import Plot


def page(found: Assessment, plots: Sequence[Plot] = ()) -> str:
    """The page of an assessment, with plots where there are any."""
    report = found.context.reports[0]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=report.title or report.kind.replace("_", " "),
            day=found.context.day,
            report=report,
            summary=found.summary,
            quality=found.quality,
            notes=[note for note in found.notes if note.kind != "abnormal"],
            findings=as_json(found)["findings"],
            missing=[missing_text(one) for one in found.missing],
            plots=[(plot, Markup(plot.svg)) for plot in plots],
            disclaimer=DISCLAIMER,
        )
    )


def superseded_page(newer: str) -> str:
    """The page that stands where an earlier version was: only the way to the one that took its place.

    Args:
        newer: name of that page's file, in the same folder.
    """
    return _environment().get_template("superseded.html.j2").render(newer=newer, link=quote(newer), disclaimer=DISCLAIMER)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("bedside.reports"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
