"""The report of a run of simulated callers: one HTML page, with the recordings beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

import jinja2

from bedside.phone.simulated.people import personas
from bedside.phone.simulated.scoring import SOON_S, Result, Share, summary
from bedside.workspace.files import written_whole

NOTICE = "Not a medical device. Not for clinical use without validation."


def write_report(path: Path, results: Sequence[Result], facts: Mapping[str, str]) -> None:
    """Write the page. Recordings are taken to lie in the folder `audio` beside it; nothing of another place is loaded.

    Args:
        facts: about the run, in words.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    page = _template().render(
        notice=NOTICE,
        figures=summary(results),
        soon=SOON_S,
        facts=facts,
        personas=_shares(results, lambda result: result.plan.persona.id),
        errands=_shares(results, lambda result: result.plan.errand.id),
        about={persona.id: persona.about for persona in personas()},
        failed=[result for result in results if not result.done],
        good=[result for result in results if result.done],
    )
    with written_whole(path) as part:
        part.write_text(page, encoding="utf-8")


def _shares(results: Sequence[Result], key: Callable[[Result], str]) -> dict[str, Share]:
    ordered = groupby(sorted(results, key=key), key)
    found = {name: list(group) for name, group in ordered}
    return {name: Share(sum(result.done for result in group), len(group)) for name, group in found.items()}


@cache
def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("bedside.phone.simulated")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).get_template(
        "report.html.j2"
    )
