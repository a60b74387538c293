"""How bedside's own measurements become findings."""

from __future__ import annotations

from bedside.reports.model import Finding, QualityNote, Span

DEVICE = "bedside"
LOINC = "loinc"


def measured(
    name: str,
    value: float,
    unit: str,
    method: str,
    source: Span,
    *,
    code: str = "",
    digits: int = 0,
    uncertainty: float | None = None,
    note: str = "",
) -> Finding:
    """A number that bedside measured, rounded to `digits`.

    Args:
        unit: UCUM.
        code: LOINC, or "".
        uncertainty: half the width of its 95 % interval.
        note: a remark that stands with it.
    """
    shown = f"{value:.{digits}f}"
    shown_unit = {"mm[Hg]": "mmHg", "/min": "per minute", "1": ""}.get(unit, unit)
    within = "" if uncertainty is None else f" ± {uncertainty:.{digits}f}"
    return Finding(
        name=name,
        text=f"{name} {shown}{within} {shown_unit}".rstrip(),
        source=source,
        code=code,
        system=LOINC if code else "",
        value=float(shown),
        unit=unit,
        written_value=shown,
        written_unit=unit,
        status="preliminary",
        device=DEVICE,
        method=method,
        uncertainty=None if uncertainty is None else round(uncertainty, digits),
        comments=(note,) if note else (),
    )


def stated(name: str, text: str, method: str, source: Span) -> Finding:
    """Something that bedside measured and says in words."""
    return Finding(name=name, text=text, source=source, status="preliminary", device=DEVICE, method=method)


def gravest_first(notes: list[QualityNote]) -> tuple[QualityNote, ...]:
    """Notes in the order in which they should be read."""
    return tuple(sorted(notes, key=lambda note: not note.grave))
