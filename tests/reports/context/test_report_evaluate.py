"""The suite of reports: the rules carry it out, and its measures see what a summary gets wrong."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
from test_report_output import Told

from bedside.engine.base import FinishReason, Reply
from bedside.engine.contract import ChatMessage
from bedside.errors import SourceError
from bedside.reports.evaluate import MEASURES, Case, Judged, ask, load_suite, score


@pytest.fixture(scope="module")
def judged() -> dict[str, list[Judged]]:
    return ask(load_suite(), None)


def value(judged: Sequence[Judged], measure: str) -> float:
    return MEASURES[measure](judged)


def test_the_rules_tell_what_the_suite_asks_for(judged: dict[str, list[Judged]]) -> None:
    assert [one.id for one in judged["rules"] if one.missed or one.kept < one.values] == []
    assert value(judged["rules"], "context_note_f1") >= 0.97
    assert value(judged["rules"], "unsupported_statements") == value(judged["rules"], "foreign_numbers") == 0


def test_the_template_says_nothing_of_its_own(judged: dict[str, list[Judged]]) -> None:
    assert value(judged["template"], "foreign_numbers") == 0 and value(judged["template"], "unsupported_statements") == 0
    assert value(judged["template"], "statement_coverage") >= 0.9


class Parrot(Told):
    """An engine that repeats the first line of its prompt and adds a lie."""

    def __init__(self) -> None:
        super().__init__("")

    def reply(
        self,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_logprobs: int = 0,
        grammar: str | None = None,
        seed: int = 0,
    ) -> Reply:
        first = messages[-1]["content"].splitlines()[0].removeprefix("- ")
        return Reply(f"{first} Magnesium was 9.87 mmol/L.", (), "stop", 0, 0, 0.0)

    def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int, temperature: float = 0.0) -> Generator[str, None, FinishReason]:
        yield ""
        return "stop"


def test_a_lie_is_counted_in_what_a_model_wrote_and_gone_from_what_is_shown() -> None:
    found = ask(load_suite()[:6], Parrot())
    assert value(found["unchecked"], "foreign_numbers") > 0 and value(found["unchecked"], "unsupported_statements") > 0
    assert value(found["model"], "foreign_numbers") == 0 and "9.87" not in " ".join(one.text for one in found["model"])


def test_scores_have_intervals_and_nothing_to_count_is_no_number(judged: dict[str, list[Judged]]) -> None:
    scores = score(judged["rules"])
    assert scores.keys() == MEASURES.keys() and all(one.low <= one.value <= one.high for one in scores.values())
    empty = Case(id="x", name="x.txt", report="Electrolytes\nSodium 140 mmol/L (135-145)\n")
    assert math.isnan(value(ask([empty], None)["rules"], "numbers_preserved"))


@pytest.mark.parametrize("text", ["", "cases: []", "cases: [{id: a}]", "cases: {", "- 1"])
def test_a_file_that_is_no_suite_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(SourceError):
        load_suite(tmp_path / "s.yaml")
