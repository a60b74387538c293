"""The audit of synthetic turns says what a reviewer has to know before a model is taught on them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.corpus.synthesis.audit import audit, draw, self_bleu
from bedside.corpus.synthesis.grammar import Turn
from bedside.errors import SourceError
from bedside.knowledge.intents import catalogue

DAY = date(2026, 11, 22)


def turn(text: str, *intents: str) -> Turn:
    return Turn(text, intents or ("appt_new",), (), ("family",))


def test_an_intent_asked_for_too_often_stands_out() -> None:
    report = audit([turn("i've got a complaint", "complaint")] * 50 + [turn("book me in")] * 50, catalogue(), day=DAY)
    ratios = {row.intent: row.ratio for row in report.intents}
    assert ratios["complaint"] > 50
    assert ratios["results"] == 0
    assert report.effect > 0.5


def test_turns_as_often_as_the_priors_have_no_effect() -> None:
    turns = [turn("hello", kind.id) for kind in catalogue().intents for _ in range(round(10 * kind.prior))]
    report = audit(turns, catalogue(), day=DAY)
    assert report.effect < 0.01
    assert report.degrees == len(catalogue().intents) - 1


def test_repeated_wording_is_less_diverse() -> None:
    same = audit([turn("can i book with the doctor today")] * 20, catalogue(), day=DAY).diversity
    other = audit([turn(kind.meaning) for kind in catalogue().intents[:20]], catalogue(), day=DAY).diversity
    assert same.self_bleu == pytest.approx(1.0)
    assert other.self_bleu < 0.3
    assert other.distinct[2] > 5 * same.distinct[2]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("should i call 911", "emergency_number"),
        ("my number is 0412 345 678", "phone_number"),
        ("is it item 99999 you billed", "item 99999"),
        ("they charged me $400 for item 23", "$400"),
    ],
)
def test_what_is_wrong_in_australia_is_named(text: str, fault: str) -> None:
    [found] = audit([turn("hello"), turn(text)], catalogue(), day=DAY).faults
    assert found.turn == 1
    assert fault in found.problem


@pytest.mark.parametrize("text", ["item 23 was $45.05 wasn't it", "my mobile is 0491 570 006", "i paid $80 last week"])
def test_what_agrees_with_the_tables_is_no_fault(text: str) -> None:
    assert audit([turn(text)], catalogue(), day=DAY).faults == ()


def test_rare_cases_are_counted_and_the_missing_ones_named() -> None:
    report = audit([turn("could it be Q fever"), turn("i need an interpreter", "interpreter")], catalogue(), day=DAY)
    assert (report.rare["q_fever"], report.rare["interpreter"]) == (1, 1)
    assert "snake_bite" in report.missing
    assert "q_fever" not in report.missing


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    draw(audit([turn("hello")], catalogue(), day=DAY), tmp_path / "audit.svg")
    assert "<svg" in (tmp_path / "audit.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(("turns", "problem"), [([], "none of the 0 turns"), ([turn("hello", "no_such")], "no_such")])
def test_turns_that_cannot_be_compared_are_refused(turns: list[Turn], problem: str) -> None:
    with pytest.raises(SourceError, match=problem):
        audit(turns, catalogue(), day=DAY)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=8), max_size=8))
def test_self_bleu_is_a_share_and_whole_for_twins(turns: list[list[str]]) -> None:
    assert 0 <= self_bleu(turns) <= 1
    assert not turns or not turns[0] or self_bleu([turns[0], turns[0]]) == pytest.approx(1.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_words_are_audited(texts: list[str]) -> None:
    assert audit([turn(text) for text in texts], catalogue(), day=DAY).turns == len(texts)
