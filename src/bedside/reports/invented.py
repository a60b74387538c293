"""Invented reports: for a context rule, an HL7 v2 message and a patient's record that make it fire, to train and to try the assistant on.

The conditions of the rule are met one by one with drawn values, words and medicines; what does not make the rule fire in the end is thrown
away and drawn again. All people are invented; names come from `invented.yaml`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from bedside.knowledge.medicines import expand, interaction_rules
from bedside.knowledge.report_conditions import FACT_KINDS, ChangeTest, Condition, FactTest, Limits, ResultTest, TakesTest
from bedside.knowledge.report_facts import ReportRule, analytes, reference_intervals, report_rules, report_terms
from bedside.reports.assistant import Assessment, assess
from bedside.reports.measure import measure
from bedside.reports.patient_yaml import record_of_yaml
from bedside.reports.readers import read_report

_DAY = date(2026, 11, 20)
_TRIES = 12
_LISTS = {"condition": "conditions", "symptom": "symptoms", "event": "events", "device": "devices", "habit": "habits"}


@dataclass(frozen=True, slots=True)
class Case:
    """An invented report beside an invented record.

    Attributes:
        rule: that it was made for and that fires on it.
        message: HL7 v2.
        record: YAML of the patient's record.
        found: what the assistant says.
    """

    rule: str
    message: str
    record: str
    found: Assessment


def cases(*, each: int, seed: int, rules: Sequence[ReportRule] = ()) -> Iterator[Case]:
    """Up to `each` cases for every context rule; a rule that no draw makes fire gives none.

    Args:
        rules: these alone; all by default.
    """
    for rule in rules or report_rules():
        draw = random.Random(f"{seed} {rule.id}")
        for _ in range(each):
            made = next((case for _ in range(_TRIES) if (case := _case(rule, draw))), None)
            if made:
                yield made


def _case(rule: ReportRule, draw: random.Random) -> Case | None:
    maker = _Maker(draw)
    for condition in (*rule.when, *rule.given):
        maker.meet(condition)
    if rule.also and draw.random() < 0.5:
        for condition in draw.choice(rule.also).given:
            maker.meet(condition)
    maker.surround()
    message, record = maker.message(), maker.written_record()
    reports = read_report(message.encode(), "report.hl7")
    found = assess(reports, record_of_yaml(record, "record.yaml"), measured=[measure(one) for one in reports])
    fired = any(note.rule == rule.id for note in (*found.notes, *found.quality))
    return Case(rule.id, message, record, found) if fired else None


@dataclass
class _Result:
    value: float
    limits: str = ""
    flag: str = ""


@dataclass
class _Maker:
    """A report and a record while they are made."""

    draw: random.Random
    results: dict[str, _Result] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    kind: str = ""

    def meet(self, condition: Condition) -> None:
        """Draw what makes a condition true; what cannot be drawn is left, and the rule then does not fire."""
        if condition.all is not None:
            for part in condition.all:
                self.meet(part)
        elif condition.any is not None:
            self.meet(self.draw.choice(condition.any))
        elif condition.result is not None:
            self._result(condition.result)
        elif condition.change is not None:
            self._change(condition.change)
        elif condition.says is not None:
            self.said.append(self._word(condition.says).capitalize())
        elif condition.takes is not None:
            self._takes(condition.takes)
        elif condition.interaction is not None:
            self._interaction(condition.interaction)
        else:
            self._person(condition)
            for kind in FACT_KINDS:
                if (test := getattr(condition, kind)) is not None:
                    self._fact(kind, test)

    def surround(self) -> None:
        """Add who it is, and now and then something that has nothing to do with the rule."""
        family, given = self.draw.choice(_words()["families"]), self.draw.choice(_words()["given"])
        born = date(_DAY.year - self.record.pop("age", self.draw.randint(32, 84)), self.draw.randint(1, 10), self.draw.randint(1, 28))
        self.record |= {"name": {"family": family, "given": given}, "birth_date": born}
        self.record.setdefault("sex", self.draw.choice(("female", "male")))
        for key in ("medicines", "conditions", "symptoms"):
            if key not in self.record and self.draw.random() < 0.6:
                self.record[key] = self.draw.sample(_words()[key], self.draw.randint(0, 2))
        if self.results and all(analytes()[key].unit.endswith("/L") for key in self.results) and self.draw.random() < 0.5:
            for key in self.draw.sample(_words()["beside"], 2):
                if key not in self.results:
                    row = next(row for row in reference_intervals() if row.analyte == key and row.low is not None and row.high is not None)
                    assert row.low is not None and row.high is not None
                    self.results[key] = _Result(_rounded(self.draw.uniform(row.low, row.high)), f"{row.low:g}-{row.high:g}")

    def message(self) -> str:
        """The report as HL7 v2."""
        person, title = self.record["name"], _words()["titles"].get(self.kind, "Diagnostic report")
        sex = self.record["sex"][0].upper()
        lines = [
            rf"MSH|^~\&|LAB|TEST LABORATORY|||{_DAY:%Y%m%d}0900||ORU^R01|{self.draw.randrange(10**8)}|P|2.4",
            f"PID|1||||{person['family']}^{person['given']}||{self.record['birth_date']:%Y%m%d}|{sex}",
            f"OBR|1||{self.draw.randrange(10**6)}|{self.kind or 'LAB'}^{title}^L|||{_DAY:%Y%m%d}",
        ]
        number = 0
        for number, (key, result) in enumerate(self.results.items(), 1):
            analyte = analytes()[key]
            unit = "" if analyte.unit == "1" else analyte.unit
            code = f"{analyte.loinc[0]}^{analyte.label}^LN" if analyte.loinc else f"{key}^{analyte.label}^L"
            lines.append(f"OBX|{number}|NM|{code}||{result.value:g}|{unit}|{result.limits}|{result.flag}|||F")
        lines += [f"OBX|{number + place}|ST|S{place}^Statement^L||{text}||||||F" for place, text in enumerate(self.said, 1)]
        lines += [f"NTE|{place}||{text}" for place, text in enumerate(self.comments, 1)]
        return "\r".join(lines) + "\r"

    def written_record(self) -> str:
        """The record as YAML."""
        return yaml.safe_dump(self.record, allow_unicode=True, sort_keys=False)

    def _result(self, test: ResultTest) -> None:
        key = self.draw.choice(test.of)
        if (held := self.results.get(key)) and test.judged is None and test.hold(held.value):
            return
        low, high = (_least(test.at_least, test.above), _least(test.at_most, test.below))
        if test.above_age_times is not None:
            low = test.above_age_times * self.record.setdefault("age", self.draw.randint(60, 84))
        usual = next((row for row in reference_intervals() if row.analyte == key and row.kind == "usual"), None)
        if test.judged in ("high", "abnormal", "critical") and usual and usual.high is not None:
            low = max(usual.high, low if low is not None else -math.inf)
        if test.judged == "low" and usual and usual.low is not None:
            high = min(usual.low, high if high is not None else math.inf)
        value = self._between(key, low, high)
        self.results[key] = _Result(value, *_judged(test.judged, value))

    def _between(self, key: str, low: float | None, high: float | None) -> float:
        """A value above `low` and below `high`, near to the one that is given, and possible."""
        least, most = analytes()[key].possible or (0.0, 1000.0)
        step = abs(low if low is not None else high if high is not None else (least + most) / 4) or 1.0
        first = low + 0.02 * step if low is not None else high - 0.4 * step if high is not None else step
        last = high - 0.02 * step if high is not None else low + 0.4 * step if low is not None else 1.5 * step
        drawn = _rounded(self.draw.uniform(min(first, last), max(first, last)))
        return min(max(drawn, least), most)

    def _change(self, test: ChangeTest) -> None:
        key = self.draw.choice(test.of)
        if key not in self.results:
            self._result(ResultTest(of=(key,)))
        now = self.results[key].value
        bounds = (test.percent_at_least, test.percent_at_most)
        if bounds != (None, None):
            percent = self._around(*bounds)
            before = now / (1 + percent / 100)
        else:
            before = now - self._around(test.at_least, test.at_most)
        days = self.draw.uniform(test.after_days + 2, max(test.after_days + 3, min(test.within_days, test.after_days + 400) - 1))
        row = {"name": analytes()[key].label, "value": _rounded(before), "unit": analytes()[key].unit}
        self.record.setdefault("results", []).append({**row, "date": _DAY - timedelta(days=round(days))})

    def _around(self, least: float | None, most: float | None) -> float:
        """A change within two bounds, of which one may be open."""
        if least is not None and most is not None:
            return self.draw.uniform(least, most)
        if least is not None:
            return least + abs(least or 1.0) * self.draw.uniform(0.05, 0.6)
        return (most or 0.0) - abs(most or 1.0) * self.draw.uniform(0.05, 0.4)

    def _takes(self, test: TakesTest) -> None:
        name = self.draw.choice(sorted(expand(test.any)))
        when = f", started {self.draw.randint(1, max(1, min(test.started_within, 21)))} days ago" if test.started_within else ""
        self.record.setdefault("medicines", []).append(f"{name}{when}")

    def _interaction(self, prefixes: tuple[str, ...]) -> None:
        rule = self.draw.choice([rule for rule in interaction_rules() if rule.id.startswith(prefixes)])
        sides = (expand(rule.a) - expand(rule.a_not), expand(rule.b) - expand(rule.b_not), expand(rule.c))
        for side in filter(None, sides):
            self.record.setdefault("medicines", []).append(self.draw.choice(sorted(side)))

    def _person(self, condition: Condition) -> None:
        if condition.age is not None:
            self.record["age"] = self._within(condition.age, 18, 92)
        if condition.weeks is not None:
            self.record |= {"weeks_pregnant": self._within(condition.weeks, 5, 40), "sex": "female", "age": self.draw.randint(20, 42)}
        if condition.bmi is not None:
            self.record |= {"height_cm": 170, "weight_kg": round(self._within(condition.bmi, 16, 55) * 1.7**2, 1)}
        if condition.sex is not None:
            self.record["sex"] = condition.sex
        if condition.pregnant is not None:
            self.record["pregnant"] = condition.pregnant
            if condition.pregnant:
                self.record |= {"sex": "female", "age": self.draw.randint(20, 42)}
        if condition.kind is not None:
            self.kind = condition.kind[0]

    def _within(self, limits: Limits, least: int, most: int) -> int:
        low, high = _least(limits.at_least, limits.above), _least(limits.at_most, limits.below)
        first = math.floor(low) + 1 if low is not None else least
        last = math.ceil(high) - 1 if high is not None else most
        return self.draw.randint(min(first, last), last)

    def _fact(self, kind: str, test: FactTest) -> None:
        word = self._word(test.any)
        if kind == "specimen":
            self.comments.append(f"Specimen {word}" if " " not in word else word.capitalize())
        elif kind in ("recording", "indication"):
            self.record[kind] = word
        elif kind == "named":
            self.record.setdefault("medicines", []).append(word)
        elif test.within_days is not None:
            day = _DAY - timedelta(days=self.draw.randint(1, max(1, min(test.within_days, 30) - 1)))
            self.record.setdefault(_LISTS[kind], []).append({"name": word, "date": day})
        else:
            self.record.setdefault(_LISTS[kind], []).append(word)

    def _word(self, terms: tuple[str, ...]) -> str:
        """Words that carry one of the terms; whole ones rather than abbreviations and beginnings."""
        words = report_terms()[self.draw.choice(terms)].words
        whole = [word for word in words if "*" not in word]
        return self.draw.choice([word for word in whole if len(word) > 4] or whole or [word.replace("*", "") for word in words])


def _least(inclusive: float | None, exclusive: float | None) -> float | None:
    return inclusive if inclusive is not None else exclusive


def _judged(judged: str | None, value: float) -> tuple[str, str]:
    """An interval and a flag that judge a value so."""
    size = abs(value) or 1.0
    around = {
        "high": (value - 0.6 * size, value - 0.1 * size, "H"),
        "low": (value + 0.1 * size, value + 0.9 * size, "L"),
        "critical": (value - 0.6 * size, value - 0.1 * size, "HH"),
        "abnormal": (value - 0.6 * size, value - 0.1 * size, "H"),
        "normal": (value - 0.3 * size, value + 0.3 * size, ""),
    }.get(judged or "")
    return (f"{_rounded(around[0]):g}-{_rounded(around[1]):g}", around[2]) if around else ("", "")


def _rounded(value: float) -> float:
    """Three digits, as devices write them."""
    return float(f"{value:.3g}")


@cache
def _words() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(files("bedside.reports").joinpath("invented.yaml").read_text(encoding="utf-8"))
    return content
