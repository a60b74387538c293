"""The person that a report is about: identifiers with their checks, and what header lines tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from bedside.knowledge.identifiers import is_valid
from bedside.reports.model import DiagnosticReport, Kind, Person, Sex, Span
from bedside.reports.readers.source import Draft
from bedside.reports.readers.values import day_of, written_time

_SEXES: dict[str, Sex] = {"f": "female", "m": "male", "female": "female", "male": "male", "w": "female", "x": "other", "other": "other"}
_CHECKED = {"medicare": "id.medicare", "ihi": "id.ihi", "dva": "id.dva"}


def identified(draft: Draft, found: Iterable[tuple[str, str]], span: Span) -> dict[str, str]:
    """Identifiers by type, without blanks; the first of each type counts, and one whose check digit is wrong is a problem too."""
    identifiers: dict[str, str] = {}
    for kind, written in found:
        plain = "".join(written.split())
        if not plain:
            continue
        if identifiers.setdefault(kind, plain) != plain:
            draft.problem("second_identifier", f"{kind} {plain} beside {identifiers[kind]}", span)
        if kind in _CHECKED and not is_valid(_CHECKED[kind], plain):
            draft.problem("bad_identifier", f"{plain} is no {kind} number: its format or check digit is wrong", span)
    return identifiers


def finished(draft: Draft, format: str, headers: Mapping[str, str], kind: Kind | None = None) -> DiagnosticReport:
    """The report of a draft with what its header lines tell about the person, the device and the time.

    Args:
        headers: by what they tell; the keys are those of `headers` in `statements.yaml`.
    """
    whole = draft.source.span("header")
    family, _, given = headers.get("name", "").partition(",") if "," in headers.get("name", "") else _last_name(headers.get("name", ""))
    born = headers.get("birth_date", "")
    written = re.split(r"\s{2,}|\s\(", born)[0]
    moment = written_time(written)
    birth_date = day_of(written) or (moment.date() if moment else None)
    if born and not birth_date:
        draft.problem("bad_date", f"date of birth {born[:40]!r}", whole)
    found = [(one, headers[one]) for one in ("mrn", "medicare", "ihi") if headers.get(one)]
    return draft.report(
        format,
        kind,
        id=headers.get("id", ""),
        time=written_time(headers.get("time", "")),
        patient=Person(
            identifiers=identified(draft, found, whole),
            family=headers.get("family", family).strip(),
            given=headers.get("given", given).strip(),
            birth_date=birth_date,
            sex=_SEXES.get(headers.get("sex", "").lower(), "unknown"),
        ),
        device=headers.get("device", ""),
    )


def _last_name(name: str) -> tuple[str, str, str]:
    """Family and given name of one written without comma; a first word in capitals alone is the family's."""
    words = name.split()
    if len(words) > 1 and words[0].isupper() and not words[-1].isupper():
        return words[0], "", " ".join(words[1:])
    return (words or [""])[-1], "", " ".join(words[:-1])
