"""What sort of test a report is of, by what it measures, else by its words (`kinds.yaml`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import cast

from bedside.reports.model import Finding, Kind
from bedside.reports.readers.data import content
from bedside.reports.units import analyte_of


def kind_of(title: str, findings: Iterable[Finding]) -> Kind:
    """What most of the measured findings are of; without any, what the words of the title, then of the findings, tell."""
    found = list(findings)
    measured = Counter(kind for finding in found if finding.value is not None and (kind := _kind_of_measure(finding, title)))
    if measured:
        return measured.most_common(1)[0][0]
    texts = (title, " ".join(finding.name for finding in found), " ".join(finding.text for finding in found)[:20_000])
    return next((kind for text in texts if (kind := kind_of_words(text))), "other")


def kind_of_words(text: str) -> Kind | None:
    """The first kind of which a word stands in `text`."""
    lower = text.lower()
    return next((kind for kind, (_, words) in _kinds().items() if any(word in lower for word in words)), None)


def _kind_of_measure(finding: Finding, title: str) -> Kind | None:
    analyte = analyte_of(finding.name, finding.code, title)
    if analyte is None:
        return None
    told = next((kind for kind, (measures, _) in _kinds().items() if analyte.key in measures), None)
    return told or (None if analyte.key in _telling_nothing() else "laboratory")


@cache
def _kinds() -> dict[Kind, tuple[frozenset[str], tuple[str, ...]]]:
    return {
        cast(Kind, kind): (frozenset(entry["measures"]), tuple(entry["words"])) for kind, entry in content("kinds.yaml")["kinds"].items()
    }


@cache
def _telling_nothing() -> frozenset[str]:
    return frozenset(content("kinds.yaml")["any_kind"])
