"""Duplicates: what is dropped, what is kept in its place, and what looks alike but is not."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.corpus.cluster import map_batches
from bedside.corpus.conversation import Conversation, Message, Provenance
from bedside.corpus.duplicates import (
    REASONS,
    Record,
    Sketches,
    Twins,
    add_semantic,
    best_first,
    drop_twins,
    find_twins,
    gather,
    parts,
    plain_words,
    sketch,
)
from bedside.workspace.ledger import DropLedger

LONG = (
    "my mother has been coughing for three weeks now and the tablets from the chemist did nothing so we want to see doctor walker on friday"
)


def twins_of(records: list[Record], sources: list[int] | None = None) -> Twins:
    sketches = sketch(records)
    return find_twins(sketches, best_first(np.array(sources or [0] * len(records)), sketches.length))


def reasons(records: list[Record]) -> list[str]:
    twins = twins_of(records)
    return ["kept" if of < 0 else REASONS[kind] for of, kind in zip(twins.of, twins.kind, strict=True)]


def test_the_same_words_are_a_duplicate_whatever_their_case_marks_and_forms() -> None:
    records = [
        ("Don't we have Dr Lim's form?", ""),
        ("dont you worry", ""),
        ("don\u2019t we have  DR LIM'S form", ""),
        ("ｄｏ not we have dr lim's form", ""),
    ]
    assert reasons(records) == ["kept", "kept", "duplicate", "duplicate"]


@pytest.mark.parametrize(
    "change",
    [("coughing", "wheezing"), ("my mother", "so my mother"), ("nothing so", "nothing"), ("friday", "friday please"), ("walker", "wakler")],
)
def test_a_changed_word_of_a_long_turn_is_a_near_duplicate(change: tuple[str, str]) -> None:
    assert sorted(reasons([(LONG, ""), (LONG.replace(*change), "")])) == ["kept", "near_duplicate"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the report of the second sample says that potassium was 5.1 and sodium was normal", "5.1=6.1"),
        ("he told the nurse on monday that there was pain in the chest when walking up the hill", "was pain=was no pain"),
        ("the doctor said that he should take the small white tablets in the morning with food", "should=shouldn't"),
    ],
)
def test_another_number_or_a_denial_is_another_record(one: str, other: str) -> None:
    assert reasons([(one, ""), (one.replace(*other.split("=")), "")]) == ["kept", "kept"]


def test_twins_are_alike_in_question_and_answer() -> None:
    answer = "please book a long appointment with your usual doctor and bring all of your medicines and your glucose diary along with you"
    assert reasons([("can i get a care plan", answer), ("what do i need for my diabetes review", answer)]) == ["kept", "kept"]
    assert reasons([(LONG, "yes"), (LONG, "We close at noon on that day and open again next week")]) == ["kept", "kept"]


def test_the_earlier_source_stays_then_the_longer_record() -> None:
    records = [(LONG, ""), (LONG + " thanks", ""), (LONG + " thanks very much", "")]
    assert twins_of(records, [0, 1, 1]).of.tolist() == [-1, 0, 0]
    assert twins_of(records).of.tolist() == [2, 2, -1]


def test_short_and_empty_records_are_compared_too() -> None:
    assert reasons([("", ""), ("ok", ""), ("OK!", ""), ("no", ""), ("", "")]) == ["kept", "kept", "duplicate", "kept", "duplicate"]


def test_the_ledger_names_the_reason_and_where_the_kept_twin_is() -> None:
    def conversation(text: str, where: str) -> Conversation:
        provenance = Provenance(source="calls", where=where, family=where)
        return Conversation(messages=(Message(role="system", content="Answer."), Message(role="user", content=text)), provenance=provenance)

    made = [conversation(LONG, "a.jsonl:1"), conversation(LONG.upper(), "a.jsonl:2"), conversation("what time do you close", "a.jsonl:3")]
    ledger = DropLedger()
    twins = twins_of([parts(c) for c in made])
    kept = list(drop_twins(made, lambda number: made[number].provenance.where, twins, ledger))
    assert [c.provenance.where for c in kept] == ["a.jsonl:1", "a.jsonl:3"]
    [entry] = ledger.entries
    assert (entry.reason, entry.where, entry.detail) == ("duplicate", "a.jsonl:2", "kept a.jsonl:1")


def test_a_shared_system_prompt_makes_no_twins() -> None:
    prompt = Message(role="system", content=LONG * 4)
    provenance = Provenance(source="calls", where="1", family="1")
    one, two = (
        Conversation(messages=(prompt, Message(role="user", content=text)), provenance=provenance)
        for text in ("are you open", "i feel sick")
    )
    assert reasons([parts(one), parts(two)]) == ["kept", "kept"]


def test_planted_near_duplicates_are_found_among_many_and_the_others_stay() -> None:
    rng = random.Random(5)
    words = ["".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(3, 9))) for _ in range(800)]
    records = [" ".join(rng.choices(words, k=20)) for _ in range(2000)]
    planted = [record.replace(record.split()[7], rng.choice(words), 1) for record in records[:200]]
    twins = twins_of([(text, "") for text in records + planted])
    found = [twins.of[2000 + i] == i or twins.of[i] == 2000 + i for i in range(200)]
    assert np.mean(found) >= 0.95
    assert (twins.of >= 0).sum() <= 200


def test_processes_and_batches_change_nothing() -> None:
    records = [(f"{LONG} {word}", "") for word in LONG.split()]
    alone = sketch(records)
    shared = gather(map_batches(sketch, records, processes=2, size=7))
    for name in Sketches.__dataclass_fields__:
        assert (getattr(alone, name) == getattr(shared, name)).all()


def test_the_same_meaning_is_a_semantic_duplicate_only_in_both_parts() -> None:
    records = [("a", "x"), ("b", "y"), ("c", "z"), ("7 d", "w")]
    sketches = sketch(records)
    order = best_first(np.zeros(4, dtype=np.int64), sketches.length * 0)
    twins = find_twins(sketches, order)
    east, north = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    vectors = np.array([[east, east], [east, east], [east, north], [east, east]])
    add_semantic(twins, sketches, order, vectors)
    assert twins.of.tolist() == [-1, 0, -1, -1]
    assert REASONS[twins.kind[1]] == "semantic_duplicate"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=20)), min_size=1, max_size=12))
def test_any_text_is_sketched_alike_alone_and_in_company_and_its_twin_is_kept(records: list[Record]) -> None:
    together = sketch(records)
    for row, record in enumerate(records):
        alone = sketch([record])
        assert (alone.bands[0] == together.bands[row]).all()
        assert (alone.minima[0] == together.minima[row]).all()
    twins = find_twins(together, best_first(np.zeros(len(records), dtype=np.int64), together.length))
    dropped = np.flatnonzero(twins.of >= 0)
    assert (twins.of[twins.of[dropped]] == -1).all()


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_plain_words_of_plain_words_are_the_same(text: str) -> None:
    words = plain_words(text)
    assert plain_words(" ".join(words)) == words
