"""Values in conventional units, and what they are in the unit that Australian laboratories report.

Factors, units and their sources stand in `units.yaml`. A value is only converted where its analyte is named close by, because the factor
depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict

_NUMBER = r"\d{1,6}(?:[.,]\d+)?"
_BEFORE, _AFTER = 80, 30
"""How far from a value its analyte may be named, in characters."""
_CHANGED = re.compile(r"\b(?:by|reduc\w+|decreas\w+|increas\w+|drop\w*|f[ae]ll\w*|differen\w+|chang\w+)\b")
_MICRO = re.compile(r"^u(?=g)")
_SENTENCE_END = re.compile(r"[.!?]\s|[;\n]")


class Conversion(BaseModel):
    """From a conventional unit to the Australian one: `value × times + plus`.

    Attributes:
        analyte: what is measured; "" where the unit tells it alone.
        names: words by which a text names the analyte, lower case.
        from_unit: lower case, without blanks, µg written ug.
        to: the Australian unit.
        digits: decimals of the converted value.
        source: where the factor comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    analyte: str = ""
    names: tuple[str, ...] = ()
    from_unit: str
    to: str
    times: float
    plus: float = 0.0
    digits: int
    source: str

    def convert(self, value: float) -> float:
        """`value` in the Australian unit, rounded to its usual decimals."""
        return round(value * self.times + self.plus, self.digits)

    def written(self, value: float) -> str:
        """The converted value with its usual decimals, without its unit."""
        return f"{self.convert(value):.{self.digits}f}"


@dataclass(frozen=True, slots=True)
class Converted:
    """A value found in a text: one past its last character, and what it is in the Australian unit, ready to be written behind it."""

    end: int
    text: str
    analyte: str


def conversion(name: str, unit: str) -> Conversion | None:
    """How to convert a measurement, or None where it needs none or nothing is known of it.

    Args:
        name: what is measured, such as `Glucose`.
        unit: as it is written, such as `mg/dL`.
    """
    table = _table()
    key = unit_key(unit)
    named = [match.group() for match in table.names.finditer(name.lower())]
    found = [row for word in [*named, ""] if (row := table.rows.get((word, key)))]
    return max(found, key=lambda row: max(map(len, row.names), default=0)) if found else None


def unit_key(unit: str) -> str:
    """A unit as it is compared: lower case, without blanks, µg and mcg as ug."""
    return re.sub(r"[µμ]|mc(?=g)", "u", "".join(unit.lower().split()))


def conventional_values(text: str) -> Iterator[Converted]:
    """Every value in a conventional unit whose Australian value does not stand beside it yet."""
    table = _table()
    lower = text.lower()
    if len(lower) != len(text):  # a few capital letters have longer small ones, which would shift all places
        lower = text
    for match in table.values.finditer(lower):
        row = table.rows.get(("", unit_key(match["unit"]))) or _of_analyte(table, lower, match)
        if row is None or _stands_beside(lower, match.end(), row) or (row.plus and _is_difference(lower, match.start())):
            continue
        values = [float(match[name].replace(",", ".")) for name in ("low", "high") if match[name]]
        yield Converted(match.end(), f" ({'–'.join(map(row.written, values))} {row.to})", row.analyte or row.to)


def _of_analyte(table: _Table, text: str, match: re.Match[str]) -> Conversion | None:
    """The conversion of the analyte named last before the value in its sentence, else of the one named first behind it."""
    unit = unit_key(match["unit"])
    before = [word.group() for word in table.names.finditer(_sentence_before(text, match.start()))]
    after = [word.group() for word in table.names.finditer(_SENTENCE_END.split(text[match.end() : match.end() + _AFTER])[0])]
    return next((row for word in [*reversed(before), *after] if (row := table.rows.get((word, unit)))), None)


def _sentence_before(text: str, place: int) -> str:
    return _SENTENCE_END.split(text[max(0, place - _BEFORE) : place])[-1]


def _is_difference(text: str, place: int) -> bool:
    """Whether a value says by how much something changed: a scale with another zero converts differences otherwise."""
    return bool(_CHANGED.search(_sentence_before(text, place)))


def _stands_beside(text: str, end: int, row: Conversion) -> bool:
    beside = rf"\s*[(\[/=,]?\s*(?:or|about|~)?\s*{_NUMBER}(?:\s*[-–]\s*{_NUMBER})?\s*{re.escape(row.to.lower())}"
    return bool(re.match(beside, text[end : end + _BEFORE]))


@dataclass(frozen=True, slots=True)
class _Table:
    """Conversions by name and unit (name "" where the unit tells alone), and what finds names and values in lower-case text."""

    rows: dict[tuple[str, str], Conversion]
    names: re.Pattern[str]
    values: re.Pattern[str]


@cache
def _table() -> _Table:
    content = yaml.safe_load(files("bedside.corpus").joinpath("units.yaml").read_text(encoding="utf-8"))
    conversions = [Conversion.model_validate({"from_unit": row.pop("from"), **row}) for row in content["conversions"]]
    rows = {(name, row.from_unit): row for row in conversions for name in row.names or ("",)}
    names = sorted({name for name, _ in rows if name}, key=len, reverse=True)
    units = sorted({unit for _, unit in rows}, key=len, reverse=True)
    written = [r"\s?".join(re.split(r"(?=/)|(?<=/)|(?<=degrees)|(?<=fluid)", _MICRO.sub("(?:u|µ|μ|mc)", unit))) for unit in units]
    return _Table(
        rows,
        re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b"),
        re.compile(rf"(?<![\d.,/-])(?P<low>{_NUMBER})(?:\s?(?:-|–|to)\s?(?P<high>{_NUMBER}))?\s?(?P<unit>{'|'.join(written)})(?![\w/])"),
    )
