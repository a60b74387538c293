"""The template library: what an expert writes beside a reading, by threshold, by statement, or by the interval that came with it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from bedside.corpus.conversation import Role
from bedside.corpus.sources.records import Record
from bedside.corpus.units import conversion, unit_key


class Measure(BaseModel):
    """What a device or laboratory measures; `measures.yaml` explains the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    device: str
    names: tuple[str, ...]
    codes: tuple[str, ...]
    unit: str
    log: str
    digits: int


class Output(BaseModel):
    """What an expert writes: the standardised finding, its interpretation, the reference explanation, and what is lacking."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    term: str
    means: str
    because: str
    lacks: str

    def written(self, verbatim: str) -> str:
        """The whole answer; the device's or laboratory's own words stand first and unchanged."""
        return (
            f"Reported: {verbatim}\nStandard finding: {self.term}\nInterpretation: {self.means}.\n"
            f"Explanation: {self.because}.\nNeeded for context: {self.lacks}."
        )


class Template(Output):
    """An output and when it holds; `templates.yaml` explains the fields."""

    id: str
    measure: str = ""
    at_least: float = Field(default=0, alias="from")
    below: float = 0
    statement: re.Pattern[str] | None = None
    example: str = ""
    alert: bool = False

    @property
    def device(self) -> str:
        """Which kind of device or laboratory it is for."""
        return measures()[self.measure].device if self.measure else self.id.partition(".")[0]


@cache
def _file(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(files("bedside.corpus.pairs").joinpath(name).read_text(encoding="utf-8"))
    return content


@cache
def measures() -> dict[str, Measure]:
    """All measures by id."""
    return {name: Measure.model_validate(entry) for name, entry in _file("measures.yaml")["measures"].items()}


@cache
def templates() -> tuple[Template, ...]:
    """All templates, in the order of the file."""
    return tuple(Template.model_validate(entry) for entry in _file("templates.yaml")["templates"])


def question(form: str, verbatim: str) -> str:
    """How the reading is asked about: as a log `entry`, a report `section`, or a clinical `question`."""
    return str(_file("templates.yaml")["questions"][form]).format(verbatim=verbatim)


def by_value(name: str, code: str, value: float, unit: str, low: float | None, high: float | None) -> tuple[str, Output] | str:
    """The template that holds for a number, as its id and output; a reason code where none may be used.

    The interval that came with the value goes before thresholds of ours, except for alerts. No unit is ever guessed.
    """
    measure_id = _measure_of(name, code)
    inside = None if low is None and high is None else (low is None or value >= low) and (high is None or value <= high)
    if measure_id:
        converted = _in_unit(measures()[measure_id], name, value, unit)
        if isinstance(converted, str):
            return converted
        for template in templates():
            holds = template.measure == measure_id and template.at_least <= converted < template.below
            if holds and (template.alert or inside is not True):
                return template.id, template
    if inside is None:
        return "no_template"
    side = "within" if inside else "below" if low is not None and value < low else "above"
    return f"interval.{side}", Output.model_validate(_file("templates.yaml")["intervals"][side])


def by_statement(words: str) -> tuple[str, Output] | str:
    """The template whose statement stands in a device's words, as its id and output; else a reason code."""
    found = next((template for template in templates() if template.statement and template.statement.search(words)), None)
    return (found.id, found) if found else "no_template"


def library_records(*, each: int, seed: int) -> Iterator[Record]:
    """Pairs from the library alone: `each` invented readings for every template that has a threshold, one for every statement."""
    draw = random.Random(seed)
    for template in templates():
        for number in range(1, 1 + (each if template.measure else 1)):
            verbatim = example(template, draw)
            asked = question(draw.choice(("entry", "section", "question")), verbatim)
            labels = {"pair": "template", "audience": "clinician", "template": template.id, "device": template.device}
            messages: tuple[tuple[Role, str], ...] = (("user", asked), ("assistant", template.written(verbatim)))
            yield Record(messages, f"templates.yaml:{template.id}:{number}", f"template:{template.id}", labels)


def example(template: Template, draw: random.Random) -> str:
    """A device's or laboratory's words for which the template holds."""
    if not template.measure:
        return template.example
    measure = measures()[template.measure]
    step = 10**-measure.digits
    value = draw.uniform(template.at_least, template.below)
    written = round(min(max(value, template.at_least), template.below - step), measure.digits)
    return f"{measure.log} {written:.{measure.digits}f} {measure.unit}".strip()


def _measure_of(name: str, code: str) -> str | None:
    by_code, by_name = _index()
    return by_code.get(code) or by_name.get(" ".join(name.lower().split()))


def _in_unit(measure: Measure, name: str, value: float, unit: str) -> float | str:
    """The value in the measure's own unit, or the reason why it cannot be had."""
    wanted = unit_key(measure.unit)
    same = {wanted, *(unit_key(other) for other in _file("measures.yaml")["same_units"].get(measure.unit, ()))}
    if unit_key(unit) in same:
        return value
    known = conversion(f"{name} {measure.names[0]}", unit) if unit else None
    if known and unit_key(known.to) == wanted:
        return known.convert(value)
    return "unknown_unit" if unit else "no_unit"


@cache
def _index() -> tuple[dict[str, str], dict[str, str]]:
    by_code = {code: name for name, measure in measures().items() for code in measure.codes}
    by_name = {said.lower(): name for name, measure in measures().items() for said in (*measure.names, measure.log)}
    return by_code, by_name
