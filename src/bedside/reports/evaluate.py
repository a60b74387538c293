"""How good notes and summaries are, on a suite of reports with what a clinician has to be told.

Systems: `rules` (the notes themselves), `template` (the summary without a model), `model` (its summary as it is shown, each sentence checked
back) and `unchecked` (what the model wrote). Measures, each with a bootstrap interval over reports:

    statement_coverage       share of the notes and abnormal values to be told that are told
    unsupported_statements   share of the sentences that findings and notes do not bear out
    context_note_f1          F1 of the notes that are told against those that must be
    numbers_preserved        share of the abnormal values that stand there as the report gives them
    foreign_numbers          share of the numbers told that stand nowhere in findings and notes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bedside.engine.base import Engine
from bedside.errors import SourceError
from bedside.evaluation.statistics import Floats, Interval, SumMetric, Sums, bootstrap, ratio
from bedside.reports.assistant import Assessment, assess
from bedside.reports.measure import measure
from bedside.reports.narrative import NUMBER, SENTENCE, content_words, draft, is_supported, sources, worded
from bedside.reports.patient_yaml import record_of_yaml
from bedside.reports.readers import read_report
from bedside.reports.rules import Note

_RULES = ("report.", "contradiction.")
"""Ids of the notes that a suite names; what bedside says of files and devices is not counted."""
_COUNTED = ("No result is flagged or outside its limits.", *(f"Further notes: {number}." for number in range(1, 40)))
"""Sentences of the template that tell numbers of its own."""


class Case(BaseModel):
    """A report of a suite; the suite's file explains the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    name: str
    report: str
    patient: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    abnormal: tuple[str, ...] = ()

    def assessed(self) -> Assessment:
        """What the assistant says of it, without a model.

        Raises:
            BedsideError: the report or its record cannot be read.
        """
        reports = read_report(self.report.encode(), self.name)
        record = record_of_yaml(yaml.safe_dump(self.patient, allow_unicode=True), "patient.yaml") if self.patient else None
        return assess(reports, record, measured=[measure(one) for one in reports])


@dataclass(frozen=True, slots=True)
class Judged:
    """One system's text on one report, counted.

    Attributes:
        id: of the case.
        told, to_tell: notes and abnormal values.
        hits, extra, missed: notes that are told and must be, that are told and need not be, and that must be and are not.
        kept, values: abnormal values that stand there unchanged, of all.
        unsupported, sentences: sentences that are not borne out, of all.
        foreign, numbers: numbers that stand in no source, of all that are told.
        text: what was judged.
    """

    id: str
    told: int
    to_tell: int
    hits: int
    extra: int
    missed: int
    kept: int
    values: int
    unsupported: int
    sentences: int
    foreign: int
    numbers: int
    text: str


def load_suite(path: Path | None = None) -> list[Case]:
    """The cases of a suite; of the built-in one without a path.

    Raises:
        SourceError: the file is missing or is no suite.
    """
    try:
        text = path.read_text(encoding="utf-8") if path else _built_in()
        rows = yaml.safe_load(text)["cases"]
        found = [Case.model_validate(row) for row in rows]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise SourceError(
            f"{path} is no suite of reports ({' '.join(str(error).split())[:200]})", "See reports/suites/clinic-reports.yaml for its form"
        ) from error
    if not found:
        raise SourceError(f"{path} holds no case", "Write at least one")
    return found


def ask(cases: Sequence[Case], engine: Engine | None, tell: Callable[[int], None] = lambda done: None) -> dict[str, list[Judged]]:
    """Every system's text on every report, judged.

    Args:
        engine: the model; None: rules and template alone.
        tell: is given how many reports are done.

    Raises:
        BedsideError: a report of the suite cannot be read, or the model cannot be asked.
    """
    judged: dict[str, list[Judged]] = {}
    for done, case in enumerate(cases, 1):
        found = case.assessed()
        texts = {"rules": [note.text for note in (*found.quality, *found.notes)], "template": SENTENCE.split(found.summary.text)}
        if engine is not None:
            wrote = draft(engine, sources(found.context, found.notes, found.quality))
            shown = worded(found.summary.text, found.notes, wrote)
            texts |= {"model": SENTENCE.split(shown.text), "unchecked": [*wrote.kept, *wrote.removed]}
        for system, sentences in texts.items():
            judged.setdefault(system, []).append(_judge(case, found, sentences))
        tell(done)
    return judged


def score(judged: Sequence[Judged], *, seed: int = 0) -> dict[str, Interval]:
    """Every measure of one system with its 95 % interval."""
    return {name: bootstrap(judged, metric, seed=seed) for name, metric in MEASURES.items()}


def _judge(case: Case, found: Assessment, sentences: Sequence[str]) -> Judged:
    said = [*sources(found.context, found.notes, found.quality), *_own_words(found)]
    notes = [note for note in (*found.notes, *found.quality) if note.rule.startswith(_RULES)]
    told = {rule for sentence in sentences if (rule := _conveyed(sentence, notes))}
    must = set(case.notes)
    text = " ".join(sentences)
    numbers = NUMBER.findall(text)
    known = {number for source in said for number in NUMBER.findall(source)}
    kept = sum(value.lstrip("-") in numbers for value in case.abnormal)
    hits = len(told & must)
    return Judged(
        id=case.id,
        told=hits + kept,
        to_tell=len(must) + len(case.abnormal),
        hits=hits,
        extra=len(told - must - set(case.may)),
        missed=len(must - told),
        kept=kept,
        values=len(case.abnormal),
        unsupported=sum(not is_supported(sentence, said) for sentence in sentences),
        sentences=len(sentences),
        foreign=sum(number not in known for number in numbers),
        numbers=len(numbers),
        text=text,
    )


def _own_words(found: Assessment) -> list[str]:
    """What a summary may say of the assessment itself: which results are abnormal, and which facts are not known."""
    abnormal = [f"Abnormal: {one}." for one, _ in found.context.abnormal]
    missing = f"Not known: {', '.join(one.fact for one in found.missing)} and others."
    return [*abnormal, f"Abnormal: {', '.join(str(one) for one, _ in found.context.abnormal)} and others.", missing, *_COUNTED]


def _conveyed(sentence: str, notes: Sequence[Note]) -> str:
    """The rule of the note that most of a sentence's words are of; "" where there is none."""
    words = content_words(sentence)
    shared = {note.rule: len(words & content_words(note.text)) for note in notes}
    best = max(shared, key=lambda rule: shared[rule], default="")
    return best if best and shared[best] >= 2 and shared[best] * 2 > len(words) else ""


def _share(part: str, whole: str) -> SumMetric[Judged]:
    def sums(samples: Sequence[Judged]) -> Sums:
        counts = np.array([(getattr(one, part), getattr(one, whole)) for one in samples], dtype=np.float64).reshape(-1, 2)
        return Sums(counts, lambda totals: ratio(totals[..., 0], totals[..., 1]))

    return SumMetric(sums)


def _f1(totals: Floats) -> Floats:
    return ratio(2 * totals[..., 0], 2 * totals[..., 0] + totals[..., 1] + totals[..., 2])


@SumMetric
def _note_f1(samples: Sequence[Judged]) -> Sums:
    return Sums(np.array([(one.hits, one.extra, one.missed) for one in samples], dtype=np.float64).reshape(-1, 3), _f1)


MEASURES: dict[str, SumMetric[Judged]] = {
    "statement_coverage": _share("told", "to_tell"),
    "unsupported_statements": _share("unsupported", "sentences"),
    "context_note_f1": _note_f1,
    "numbers_preserved": _share("kept", "values"),
    "foreign_numbers": _share("foreign", "numbers"),
}


@cache
def _built_in() -> str:
    return files("bedside.reports").joinpath("suites", "clinic-reports.yaml").read_text(encoding="utf-8")
