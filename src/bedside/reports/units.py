"""What a report's names and units mean: its analyte, its LOINC code, its UCUM unit, and a value in another unit.

Analytes, their codes and units are facts of `bedside.knowledge.analytes.yaml`, spellings of units of `ucum_units.yaml`. This product
includes LOINC codes; LOINC is copyright Regenstrief Institute, Inc., free under the licence at https://loinc.org/license.
"""

from __future__ import annotations

import re
from functools import cache

from bedside.knowledge.report_facts import Analyte, analytes, unit_key
from bedside.knowledge.ucum import convert, unit
from bedside.reports.model import Finding

_APART = re.compile(r"[^a-z0-9/+]+")
_BESIDE = re.compile(r"\b(?:serum|plasma|blood|venous|capillary|level|s|p|b)\b")
_URINE = re.compile(r"\burin|\bdipstick", re.IGNORECASE)


def unit_of(written: str) -> str:
    """The UCUM code of a unit as it was written; "" where there is none or it is unknown."""
    found = unit(written)
    return found.code if found else ""


def analyte_of(name: str, code: str = "", title: str = "") -> Analyte | None:
    """What a result is of: by its LOINC code, else by its name.

    Args:
        title: of the report; a name under a urine test is not the blood test of that name.
    """
    by_code, by_name = _index()
    if code in by_code:
        return by_code[code]
    plain = " ".join(_APART.sub(" ", name.lower()).split())
    found = by_name.get(plain) or by_name.get(" ".join(_BESIDE.sub(" ", plain).split()))
    of_urine = _URINE.search(name) or _URINE.search(title)
    return None if found and of_urine and not _URINE.search(found.label) else found


def loinc_of(name: str, code_of_unit: str, title: str = "") -> str:
    """The LOINC code of a result that came without a code: only where its name is known and it stands in that code's unit."""
    found = analyte_of(name, "", title)
    return found.loinc[0] if found and found.loinc and unit_key(code_of_unit) == unit_key(found.unit) else ""


def unit_fault(name: str, code: str, code_of_unit: str, title: str = "") -> str:
    """Why a result cannot be in its unit, or "". A result without a unit is in none that is wrong."""
    found = analyte_of(name, code, title)
    if found is None or not code_of_unit or _canonical(found, 1.0, code_of_unit) is not None:
        return ""
    return f"{found.label} is reported in {found.unit or 'a plain number'}, never in {code_of_unit}"


def in_unit(finding: Finding, wanted: str) -> float | None:
    """A finding's value in another unit, by its analyte's molar mass where that is needed.

    Returns:
        None where it has no value, or its unit and the wanted one do not measure the same of this analyte.
    """
    if finding.value is None:
        return None
    if (scaled := convert(finding.value, finding.unit, wanted)) is not None:
        return scaled
    found = analyte_of(finding.name, finding.code)
    value = _canonical(found, finding.value, finding.unit) if found else None
    if found is None or value is None:
        return None
    if (scaled := convert(value, found.unit, wanted)) is not None:
        return scaled
    zero, one = _canonical(found, 0.0, wanted), _canonical(found, 1.0, wanted)
    return (value - zero) / (one - zero) if zero is not None and one is not None else None


def _canonical(analyte: Analyte, value: float, written: str) -> float | None:
    """`value` in the analyte's unit; units of the same kind as one that it is reported in count too."""
    direct = analyte.canonical(value, written)
    if direct is not None:
        return direct
    for reported in (analyte.unit, *analyte.units):
        if (scaled := convert(value, written, reported)) is not None:
            return analyte.canonical(scaled, reported)
    return None


@cache
def _index() -> tuple[dict[str, Analyte], dict[str, Analyte]]:
    """Analytes by LOINC code and by plain name."""
    by_code = {code: analyte for analyte in analytes().values() for code in analyte.loinc}
    by_name: dict[str, Analyte] = {}
    for analyte in analytes().values():
        for name in (*analyte.names, analyte.label):
            by_name.setdefault(" ".join(_APART.sub(" ", name.lower()).split()), analyte)
    return by_code, by_name
