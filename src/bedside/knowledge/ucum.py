"""Units as devices and laboratories write them, as UCUM codes, and conversions between units of one kind (`ucum_units.yaml`).

Between mass and amount of substance a conversion depends on what was measured: see `analytes.yaml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

_POWER = re.compile(r"[x×*]?10(?:\^|\*\*|\*|e\+?|\()?(12|9|6|3)\)?(?=/?[lum])")
_POWER_IN_TEXT = r"(?:[x×]\s?)?10\s?(?:\^|\*{1,2}|e)?\s?(?:12|9|6|3|¹²|⁹|⁶|³)\s?/\s?(?:[uµμ]|mm³|mm3)?L?"
_ANNOTATION = re.compile(r"\{[^}]*\}")
_FOLD = str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "⁶": "6", "⁹": "9", "¹": "1", "⁻": "-", "·": "."})
_LONGEST = 40
"""Characters; nothing longer is a unit."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure.

    Attributes:
        code: its UCUM code.
        group: what it measures; units of one group convert by factor.
        times, plus: value in the group's first unit = value × times + plus.
    """

    code: str
    group: str
    times: float
    plus: float


def unit(written: str) -> Unit | None:
    """The unit that a report writes so; None where it is none that is known."""
    if len(written) > _LONGEST:
        return None
    exactly, folded = _spellings()
    return exactly.get(written.strip()) or folded.get(_folded(written)) or folded.get(_folded(_ANNOTATION.sub("", written)))


def unit_pattern() -> str:
    """A regular expression for the spellings that tell a unit where they stand behind a number in running text, longest first."""
    exactly, folded = _spellings()
    telling = {spelling for spelling in (*exactly, *folded) if len(spelling) > 1 or spelling in "%LsgmUWC"}
    plain = "|".join(re.escape(spelling) for spelling in sorted(telling, key=len, reverse=True))
    return rf"{_POWER_IN_TEXT}|mL/min/1\.73\s?m(?:\^?2|²)|mm\s?\[?Hg\]?|{plain.replace('u', '[uµμ]')}"


def convert(value: float, written: str, to: str) -> float | None:
    """`value`, in the unit `written`, in the unit `to`; None where one of them is unknown or the two do not measure the same."""
    source, target = unit(written), unit(to)
    if source is None or target is None or source.group != target.group:
        return None
    return (value * source.times + source.plus - target.plus) / target.times


def _folded(written: str) -> str:
    plain = "".join(written.translate(_FOLD).split()).lower()
    return _POWER.sub(lambda match: f"10*{match[1]}", plain)


@cache
def _spellings() -> tuple[dict[str, Unit], dict[str, Unit]]:
    """Units by spellings with their capitals, and by folded ones."""
    content = yaml.safe_load(files("bedside.knowledge").joinpath("ucum_units.yaml").read_text(encoding="utf-8"))
    exactly: dict[str, Unit] = {}
    folded: dict[str, Unit] = {}
    for group, units in content["groups"].items():
        for code, entry in units.items():
            found = Unit(code, group, float(entry["times"]), float(entry.get("plus", 0.0)))
            exactly |= dict.fromkeys((code, *entry.get("exactly", ())), found)
            for spelling in (code, *entry.get("written", ())):
                if folded.setdefault(_folded(spelling), found) is not found:
                    raise ValueError(f"ucum_units.yaml: {spelling!r} stands under {folded[_folded(spelling)].code} and under {code}")
    return exactly, folded
