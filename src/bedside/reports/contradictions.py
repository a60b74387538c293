"""Where a report disagrees with itself: flags, units, impossible values, sums, doubles, states, and statements against measurements.

Statements against numbers and against each other are rules (`report_rules/contradictions.yaml`); what has to be calculated is here.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from bedside.knowledge.report_facts import Sum, Urgency, report_sums, report_terms
from bedside.reports.context import Context, Reason, place_of
from bedside.reports.readings import Reading, flag_direction, flag_says_normal, number, place, range_direction, shown
from bedside.reports.rules import Note, in_order
from bedside.reports.words import plain, spoken

_SOURCE = "The report itself"
_DENIAL = re.compile(r"\b(?:no|not|nil|non|without|never|absent|negative|neg|none|denie[sd]|free|absence|false)\b")
_SAME = 0.1
"""Share by which two laboratory results of one moment may differ."""
_MEASURED = {"heart_rate": 8.0, "pr": 40.0, "qrs": 30.0, "qt": 40.0, "qtc": 40.0}
"""How far a device's ECG values may be from what bedside measures in the same signal, in the analyte's unit."""


def contradictions(context: Context) -> tuple[Note, ...]:
    """Everything in the reports that cannot be true together, most urgent first."""
    found: list[Note] = []
    for check in (_flags, _impossible, _units, _unitless, _sums, _doubles, _states, _said_both, _against_measured, _person):
        found += check(context)
    return in_order(found)


def _note(
    rule: str, text: str, because: list[Reason], *, kind: str = "contradiction", urgency: Urgency = "soon", source: str = _SOURCE
) -> Note:
    return Note(rule, text, urgency, tuple(sorted(because)), source, "C", kind)


def _of(*readings: Reading) -> list[Reason]:
    return [Reason("result", str(one), place(one.finding.source)) for one in readings]


def _flags(context: Context) -> Iterator[Note]:
    for one in context.readings:
        flag, finding = one.finding.flag.strip(), one.finding
        if not flag or finding.value is None or finding.range is None or (finding.range.low, finding.range.high) == (None, None):
            continue
        said, is_so = flag_direction(flag), range_direction(finding)
        wrong = (
            (said in ("high", "low") and said != is_so)
            or (said == "abnormal" and is_so is None)
            or (flag_says_normal(flag) and is_so is not None)
        )
        if wrong:
            where = {"high": "above", "low": "below", None: "within"}.get(is_so, "outside")
            text = f"Contradiction: {one} is flagged {flag} but lies {where} its own range {finding.range.text or _limits(one)}."
            yield _note("contradiction.flag", text, _of(one))


def _limits(one: Reading) -> str:
    limits = one.finding.range
    assert limits is not None
    return f"{'' if limits.low is None else f'{limits.low:g}'}–{'' if limits.high is None else f'{limits.high:g}'}"


def _impossible(context: Context) -> Iterator[Note]:
    for one in context.readings:
        analyte = one.analyte
        finding = one.finding
        if finding.value is not None and not math.isfinite(finding.value):
            yield _note(
                "contradiction.impossible", f"Impossible value: {one} is not a number that can be measured.", _of(one), urgency="same_day"
            )
        elif analyte is not None and finding.value is not None and analyte.possible is not None:
            low, high = analyte.possible
            value = finding.value if one.value is None and not finding.unit else one.value
            if value is not None and not low <= value <= high:
                others = [
                    unit for unit in analyte.units if (other := analyte.canonical(finding.value, unit)) is not None and low <= other <= high
                ]
                hint = f" It would be possible in {shown(others[0])}: the unit may be wrong." if others else ""
                text = f"Impossible value: {one} is outside what is possible ({low:g} to {high:g} {shown(analyte.unit)}).{hint} Not to be used before it is checked at its source."
                yield _note("contradiction.impossible", " ".join(text.split()), _of(one), urgency="same_day", source=analyte.source)


def _units(context: Context) -> Iterator[Note]:
    for one in context.readings:
        if (
            one.analyte is not None
            and one.finding.value is not None
            and one.value is None
            and one.finding.unit
            and one.finding.status != "cancelled"
        ):
            unit = shown(one.finding.written_unit or one.finding.unit)
            text = f"Unit that cannot be: {one.label} is not reported in {unit} (expected {shown(one.analyte.unit) or 'a plain number'}). The value was not compared with any limit but its own; check it at its source."
            yield _note("contradiction.unit", text, _of(one), source=one.analyte.source)


def _unitless(context: Context) -> Iterator[Note]:
    for one in context.readings:
        if one.analyte is not None and one.analyte.unit and one.value is not None and not one.finding.unit:
            text = f"No unit came with {one}: it was read as {shown(one.analyte.unit)}."
            yield _note("quality.no-unit", text, _of(one), kind="quality", urgency="information")


def _sums(context: Context) -> Iterator[Note]:
    values = {analyte: listed[0] for analyte, listed in context.present.items() if listed[0].finding.comparator == ""}
    for rule in report_sums():
        names = _names(rule)
        if not names <= values.keys() or len({values[name].moment for name in names}) > 1:
            continue
        used = [values[name] for name in sorted(names)]
        difference = _difference(rule, {name: values[name].value or 0.0 for name in names}, context)
        if difference is not None:
            said, expected = difference
            facts = ", ".join(sorted(map(str, used)))
            text = f"Contradiction: {rule.label}: {facts} do not fit together ({number(said)} against {number(expected)} expected)."
            yield _note(rule.id.replace("sum.", "contradiction.sum-"), text, _of(*used), urgency=rule.urgency, source=rule.source)


def _difference(rule: Sum, values: dict[str, float], context: Context) -> tuple[float, float] | None:
    """What is said and the nearest of what is expected, where they are further apart than rounding explains."""
    try:
        said = _evaluate(_parsed(rule.value), values, context)
        expected = [_evaluate(_parsed(formula), values, context) for formula in rule.equals]
    except (ZeroDivisionError, OverflowError, _NotKnownError):
        return None
    real = [one for one in expected if isinstance(one, float) and math.isfinite(one)]
    if not real or not isinstance(said, float):
        return None
    nearest = min(real, key=lambda one: abs(said - one))
    return None if abs(said - nearest) <= max(rule.tolerance, rule.relative * abs(nearest)) else (said, nearest)


class _NotKnownError(Exception):
    """A formula needs a fact that is not known."""


_OPERATORS: dict[type[ast.operator], Callable[[float, float], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow,
}  # fmt: skip


@cache
def _parsed(formula: str) -> ast.expr:
    return ast.parse(formula, mode="eval").body


@cache
def _names(rule: Sum) -> frozenset[str]:
    found = {node.id for formula in (rule.value, *rule.equals) for node in ast.walk(_parsed(formula)) if isinstance(node, ast.Name)}
    return frozenset(found - _FUNCTIONS.keys())


def _evaluate(node: ast.expr, values: dict[str, float], context: Context) -> float:
    """The value of a formula of numbers, analytes, `+ - * / **` and the functions below; nothing else is carried out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(node.value)
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return float(_OPERATORS[type(node.op)](_evaluate(node.left, values, context), _evaluate(node.right, values, context)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        return _FUNCTIONS[node.func.id](context, *(_evaluate(part, values, context) for part in node.args))
    raise ValueError(f"a formula may not hold {ast.unparse(node)!r}")


def ckd_epi(creatinine: float, age: float, sex: str, year: int) -> float:
    """eGFR in mL/min/1.73 m² from creatinine in µmol/L, for adults.

    Source: CKD-EPI 2009 (Levey, Ann Intern Med 150:604, without the race term) and 2021 (Inker, N Engl J Med 385:1737).
    """
    female = sex == "female"
    share = creatinine / 88.4 / (0.7 if female else 0.9)
    low = {2009: (-0.329, -0.411), 2021: (-0.241, -0.302)}[year][0 if female else 1]
    first, high, yearly, woman = {2009: (141, -1.209, 0.993, 1.018), 2021: (142, -1.200, 0.9938, 1.012)}[year]
    return float(first * min(share, 1) ** low * max(share, 1) ** high * yearly**age * (woman if female else 1))


def _estimated(year: int) -> Callable[..., float]:
    def estimate(context: Context, creatinine: float) -> float:
        if context.age is None or context.age < 18 or context.sex not in ("female", "male") or creatinine <= 0:
            raise _NotKnownError
        return ckd_epi(creatinine, context.age, context.sex, year)

    return estimate


_FUNCTIONS: dict[str, Callable[..., float]] = {
    "max": lambda _, *values: max(values),
    "min": lambda _, *values: min(values),
    "ckd_epi_2009": _estimated(2009),
    "ckd_epi_2021": _estimated(2021),
}


def _doubles(context: Context) -> Iterator[Note]:
    """Laboratory results of one analyte and moment that differ, such as HbA1c in two units."""
    if "laboratory" not in context.kinds:
        return
    for listed in context.present.values():
        together = [one for one in listed if one.moment == listed[0].moment and not one.finding.comparator]
        values = [one.value for one in together if one.value is not None]
        if len(values) > 1 and max(values) - min(values) > _SAME * max(map(abs, values)):
            text = f"Contradiction: two results of one moment differ: {', '.join(sorted(map(str, together)))}."
            yield _note("contradiction.double", text, _of(*together))


def _states(context: Context) -> Iterator[Note]:
    for report in context.reports:
        open_ones = [finding for finding in report.findings if finding.status in ("preliminary", "registered")]
        if report.status == "final" and open_ones:
            names = ", ".join(sorted({finding.name for finding in open_ones}))
            because = [Reason("result", f"{finding.name}: {finding.status}", place(finding.source)) for finding in open_ones]
            yield _note("contradiction.status", f"Contradiction: the report is final but these results are not: {names}.", because)
        valued = [finding for finding in report.findings if finding.value is not None]
        if report.status == "cancelled" and valued:
            yield _note(
                "contradiction.status",
                "Contradiction: the report is cancelled but holds results.",
                [Reason("statement", report.title, place_of(report))],
            )
        for finding in report.findings:
            if finding.status == "cancelled" and finding.value is not None:
                because = [Reason("result", f"{finding.name} {finding.text}", place(finding.source))]
                yield _note(
                    "contradiction.status", f"Contradiction: {finding.name} is cancelled but has a value, which was not used.", because
                )


def _said_both(context: Context) -> Iterator[Note]:
    """What one statement says and another one denies."""
    words = [said for said in context.statements if said.text]
    denying = [said for said in words if _DENIAL.search(plain(said.text))]
    for term in report_terms() if denying else ():
        denies = [said for said in denying if spoken(term, said.text).denied]
        says = [said for said in words if denies and spoken(term, said.text).mentioned]
        if says and set(says) != set(denies):
            told = tuple(Reason("statement", said.text, said.source) for said in (*says, *denies))
            text = f"Contradiction: the report says both “{min(said.text for said in says)}” and “{min(said.text for said in denies)}”."
            yield _note(f"contradiction.said-both.{term.replace('_', '-')}", text, [*dict.fromkeys(told)])


def _against_measured(context: Context) -> Iterator[Note]:
    measured = {place(finding.source) + finding.name for part in context.measured for finding in part.findings}
    for analyte, tolerance in _MEASURED.items():
        listed = context.present.get(analyte, ())
        own = [one for one in listed if place(one.finding.source) + one.finding.name in measured]
        stated = [one for one in listed if one not in own]
        if own and stated and all(abs((mine.value or 0) - (theirs.value or 0)) > tolerance for mine in own for theirs in stated):
            text = f"Contradiction: the device states {stated[0]}, but measured from its signal it is {own[0].amount}."
            yield _note("contradiction.measured", text, _of(stated[0], own[0]))


def _person(context: Context) -> Iterator[Note]:
    if context.sex == "male" and context.record.pregnant:
        because = [Reason("fact", "male, pregnant", context.record.file)]
        yield _note(
            "contradiction.record-pregnant", "Contradiction: the record says male and pregnant; check that it is this patient's.", because
        )
    born = context.record.person.birth_date
    if born is not None and context.day is not None and context.day < born:
        because = [Reason("fact", f"birth date {born}", context.record.file)]
        yield _note(
            "contradiction.before-birth", f"Contradiction: the report of {context.day} is from before the birth date {born}.", because
        )
