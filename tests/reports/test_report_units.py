"""Units as they are written, their UCUM codes, and conversions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedside.knowledge.ucum import convert, unit
from bedside.reports.model import Finding, Span
from bedside.reports.readers.values import interval, number
from bedside.reports.units import analyte_of, in_unit, loinc_of, unit_fault, unit_of


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("MMOL/L", "mmol/L"),
        ("µmol/L", "umol/L"),
        ("x10^9/L", "10*9/L"),
        ("×10⁹/L", "10*9/L"),
        ("10e9/L", "10*9/L"),
        ("10(9)/L", "10*9/L"),
        ("K/uL", "10*9/L"),
        ("G/L", "10*9/L"),
        ("g/L", "g/L"),
        ("mL/min/1.73m²", "mL/min/{1.73_m2}"),
        ("mm[Hg]", "mm[Hg]"),
        ("bpm", "/min"),
        ("{beats}/min", "/min"),
        ("°C", "Cel"),
        ("% predicted", "%"),
        ("mIU/L", "mU/L"),
        ("", ""),
        ("furlong", ""),
    ],
)
def test_units(written: str, code: str) -> None:
    assert unit_of(written) == code


@pytest.mark.parametrize(
    ("value", "written", "to", "expected"),
    [(98.6, "F", "Cel", 37.0), (16, "kPa", "mmHg", 120.0), (154, "lb", "kg", 69.9), (0.12, "s", "ms", 120), (105, "g/L", "g/dL", 10.5)],
)
def test_conversions(value: float, written: str, to: str, expected: float) -> None:
    assert convert(value, written, to) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(
    ("name", "value", "written", "to", "expected"),
    [
        ("Glucose", 180, "mg/dL", "mmol/L", 10.0),
        ("Glucose", 10.0, "mmol/L", "mg/dL", 180.1),
        ("Creatinine", 1.2, "mg/dL", "umol/L", 106.1),
        ("Cholesterol", 200, "mg/dL", "mmol/L", 5.17),
        ("HbA1c", 6.5, "%", "mmol/mol", 47.5),
        ("Potassium", 4.0, "mmol/L", "mg/dL", None),
    ],
)
def test_conversions_that_depend_on_what_is_measured(name: str, value: float, written: str, to: str, expected: float | None) -> None:
    finding = Finding(name=name, text="", source=Span(file="a"), value=value, unit=unit_of(written))
    found = in_unit(finding, to)
    assert found == (None if expected is None else pytest.approx(expected, rel=0.002))


def test_an_impossible_unit_is_told_and_a_fitting_one_is_not() -> None:
    assert "never in mg/dL" in unit_fault("Potassium", "", "mg/dL")
    assert not unit_fault("Haemoglobin", "", "g/dL")
    assert not unit_fault("Something else", "", "mg/dL")


def test_a_name_gets_a_code_only_in_the_unit_of_that_code_and_never_from_a_urine_test() -> None:
    assert loinc_of("Glucose", "mmol/L") == "14749-6"
    assert loinc_of("Glucose", "mg/dL") == ""
    assert loinc_of("Glucose", "mmol/L", "Urine dipstick") == ""
    assert analyte_of("S Potassium level") is analyte_of("x", "2823-3")


@given(
    st.floats(0.01, 1e6), st.sampled_from([("mmol/L", "umol/L"), ("g/dL", "mg/L"), ("kPa", "mm[Hg]"), ("[degF]", "Cel"), ("[lb_av]", "kg")])
)
def test_a_conversion_there_and_back_changes_nothing(value: float, units: tuple[str, str]) -> None:
    there = convert(value, *units)
    assert there is not None
    assert convert(there, units[1], units[0]) == pytest.approx(value, rel=1e-9, abs=1e-9)


@given(st.text(max_size=60))
def test_any_text_is_a_unit_a_number_an_interval_or_none(text: str) -> None:
    found = unit(text)
    assert found is None or found.times > 0
    number(text)
    limits = interval(text)
    assert limits is None or limits.text == text.strip()


@pytest.mark.parametrize(
    ("written", "value", "comparator"),
    [
        ("6.3", 6.3, ""),
        (">90", 90, ">"),
        ("≤ 5", 5, "<="),
        ("6,3", 6.3, ""),
        ("1,234", 1234, ""),
        ("1,234.5", 1234.5, ""),
        ("0,123", 0.123, ""),
        ("-2.1", -2.1, ""),
    ],
)
def test_numbers(written: str, value: float, comparator: str) -> None:
    found = number(written)
    assert found
    assert (found.value, found.comparator) == (value, comparator)


@pytest.mark.parametrize("written", ["", "n/a", "1-2", "1.2.3", "12/03/2026", "5 mg", "9" * 80])
def test_what_is_no_number(written: str) -> None:
    assert number(written) is None


@pytest.mark.parametrize(
    ("written", "low", "high"),
    [
        ("3.5-5.2", 3.5, 5.2),
        ("(3.5 – 5.2) mmol/L", 3.5, 5.2),
        ("-2 - 2", -2, 2),
        ("<5", None, 5),
        (">= 60", 60, None),
        ("Negative", None, None),
        ("9-1", None, None),
    ],
)
def test_intervals(written: str, low: float | None, high: float | None) -> None:
    found = interval(written)
    assert found
    assert (found.low, found.high, found.text) == (low, high, written)
