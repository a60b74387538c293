"""The grammar of callers: reproducible turns whose gold understanding is what they say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bedside.corpus.synthesis.grammar import CallerGrammar, turns
from bedside.engine.understanding import normalise
from bedside.errors import SourceError
from bedside.knowledge.intents import catalogue


@pytest.fixture(scope="module")
def grammar() -> CallerGrammar:
    return CallerGrammar()


def test_every_intent_has_many_ways_to_be_said(grammar: CallerGrammar) -> None:
    ways = Counter(name for template in grammar.templates for name in template.intents)
    assert {kind.id for kind in catalogue().intents} == set(ways)
    assert min(ways.values()) >= 40
    assert sum(1 for t in grammar.templates if not t.intents) >= 260


def test_equal_seeds_give_equal_turns_and_other_seeds_others(grammar: CallerGrammar) -> None:
    first, again, other = (list(turns(grammar, count=200, multi_share=0.3, seed=s)) for s in (1, 1, 2))
    assert first == again and first != other


def test_every_slot_value_is_said_in_the_turn_and_belongs_to_an_intent_of_it(grammar: CallerGrammar) -> None:
    allowed = {kind.id: set(kind.slots) for kind in catalogue().intents}
    for turn in turns(grammar, count=4000, multi_share=0.35, seed=3):
        assert turn.text == normalise(turn.text)
        for name, value in turn.slots:
            assert f" {value} " in f" {turn.text} ", turn
            assert any(name in allowed[intent] for intent in turn.intents), turn


def test_turns_hold_the_asked_share_of_several_intents(grammar: CallerGrammar) -> None:
    made = list(turns(grammar, count=3000, multi_share=0.35, seed=4))
    assert 0.3 < sum(len(t.intents) > 1 for t in made) / len(made) < 0.4
    assert all(len(t.intents) <= 1 for t in turns(grammar, count=500, multi_share=0, seed=4))


def test_regional_code_mixed_and_idiomatic_callers_are_there(grammar: CallerGrammar) -> None:
    said = " ".join(t.text for t in grammar.templates)
    for word in ("townsville", "wo yao", "arvo", "chess pain", "shortwind", "crook"):
        assert word in said.lower(), word


def own(folder: Path, text: str, name: str = "callers/own.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return folder


def test_a_practice_adds_its_own_wordings_and_words(tmp_path: Path) -> None:
    own(tmp_path, '- intents: [appt_new]\n  turns: ["squeeze me in with {practitioner:ours}"]\n')
    own(tmp_path, '"practitioner:ours": [dr zebra]\n', "lexicon/ours.yaml")
    grammar = CallerGrammar(tmp_path)
    mine = [t for t in grammar.templates if "squeeze me in with" in t.text and "ours" in t.text]
    (turn,) = turns(grammar, count=1, multi_share=0, seed=1, templates=mine, disfluency=0)
    assert "squeeze me in with dr zebra" in turn.text and turn.slots == (("practitioner", "dr zebra"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('- intents: [appt_nw]\n  turns: ["a"]\n', "own.yaml: template 'a' uses appt_nw"),
        ('- intents: [appt_new]\n  turns: ["a {medicine}"]\n', "a slot of none of its intents"),
        ('- intents: [appt_new]\n  turns: ["a {date:never}"]\n', "no such word list"),
        ("- intents: [appt_new\n", "is no YAML"),
    ],
)
def test_a_wrong_template_is_named_with_its_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        CallerGrammar(own(tmp_path, text))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no YAML file"):
        CallerGrammar(tmp_path)
