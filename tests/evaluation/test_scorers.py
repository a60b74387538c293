from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_fscore_support

from bedside.evaluation import scorers
from bedside.evaluation.scorers import METRICS, Confusion, Understood

NAMES = ("appt_cancel", "appt_new", "emergency", "results", "script_repeat")


def turn(gold=(), predicted=(), *, id="t", probabilities=None, gold_slots=None, predicted_slots=None):
    chosen = dict.fromkeys(predicted, 0.9) if probabilities is None else probabilities
    return Understood(id, frozenset(gold), frozenset(predicted), chosen, gold_slots or {}, predicted_slots or {}, 0.1, 0.2)


intents = st.frozensets(st.sampled_from(NAMES), max_size=3)
slots = st.dictionaries(st.sampled_from(["date", "time", "who"]), st.text("abc .'", max_size=6), max_size=3)


@st.composite
def turns(draw):
    predicted = draw(intents)
    probabilities = {intent: draw(st.floats(0, 1)) for intent in sorted(predicted)}
    return turn(draw(intents), predicted, probabilities=probabilities, gold_slots=draw(slots), predicted_slots=draw(slots))


def matrices(samples):
    return (
        np.array([[name in s for name in NAMES] for s in sets])
        for sets in zip(*((s.gold_intents, s.predicted_intents) for s in samples), strict=True)
    )


@pytest.mark.parametrize("seed", range(20))
def test_f1_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    gold, predicted = rng.random((2, 80, len(NAMES))) < rng.uniform(0.05, 0.5)
    samples = [turn(np.array(NAMES)[g].tolist(), np.array(NAMES)[p].tolist()) for g, p in zip(gold, predicted, strict=True)]
    supported = np.flatnonzero(gold.any(axis=0))
    assert scorers.micro_f1(samples) == pytest.approx(f1_score(gold, predicted, average="micro"))
    assert scorers.macro_f1(samples) == pytest.approx(f1_score(gold, predicted, labels=supported, average="macro", zero_division=0))
    expected = precision_recall_fscore_support(gold, predicted, average=None, zero_division=np.nan)
    for i, name in enumerate(NAMES):
        if (gold | predicted)[:, i].any():
            assert dataclasses.astuple(scorers.per_intent(samples)[name]) == pytest.approx([column[i] for column in expected], nan_ok=True)


def test_resampled_macro_f1_agrees_with_scikit_learn_on_the_resample():
    rng = np.random.default_rng(5)
    gold, predicted = rng.random((2, 40, len(NAMES))) < 0.1
    samples = [turn(np.array(NAMES)[g].tolist(), np.array(NAMES)[p].tolist()) for g, p in zip(gold, predicted, strict=True)]
    rows = rng.integers(40, size=12)
    sums = scorers.macro_f1.sums(samples)
    weights = np.bincount(rows, minlength=40).astype(float)
    labels = np.flatnonzero(gold[rows].any(axis=0))
    expected = f1_score(gold[rows], predicted[rows], labels=labels, average="macro", zero_division=0)
    assert float(sums.of_totals(weights @ sums.counts)) == pytest.approx(expected)


def test_exact_match_counts_each_kind_of_turn():
    samples = [
        turn(["results"], ["results"]),
        turn(["results"], ["results", "appt_new"]),
        turn(["results", "appt_new"], ["appt_new", "results"]),
        turn(["results", "appt_new"], ["results"]),
        turn(["results", "appt_new"], []),
        turn([], []),
    ]
    assert scorers.exact_match(samples) == pytest.approx(3 / 6)
    assert scorers.exact_match_single(samples) == pytest.approx(1 / 2)
    assert scorers.exact_match_multi(samples) == pytest.approx(1 / 3)


def test_rejections():
    samples = [turn([], []), turn([], []), turn([], ["results"]), turn(["results"], []), turn(["results"], ["appt_new"])]
    assert scorers.out_of_scope_rejection(samples) == pytest.approx(2 / 3)
    assert scorers.false_rejection(samples) == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("gold", "predicted"),
    [("Dr. Nguyen", "dr nguyen"), ("this  arvo ", "This arvo."), ("St Mary's", "st marys"), ("x-ray", "X ray"), ("carer\u2019s", "carers")],
)
def test_slot_values_are_equal_but_for_case_punctuation_and_spaces(gold, predicted):
    assert scorers.slot_f1([turn(gold_slots={"who": gold}, predicted_slots={"who": predicted})]) == 1


def test_slot_f1_by_hand():
    sample = turn(
        gold_slots={"practitioner": "dr nguyen", "date": "thursday week", "who": "mum"},
        predicted_slots={"practitioner": "Dr Nguyen", "date": "thursday", "time": "ten"},
    )
    assert scorers.slot_f1([sample]) == pytest.approx(2 * 1 / (3 + 3))
    assert scorers.slot_f1_relaxed([sample]) == pytest.approx(2 * (1 + 2 / 3) / (3 + 3))


@pytest.mark.parametrize(
    ("gold", "predicted", "share"), [("a b", "b c", 0.5), ("a a", "a", 2 / 3), ("a", "b", 0), ("…", "", 1), ("a", "", 0)]
)
def test_token_overlap(gold, predicted, share):
    assert scorers.token_overlap(gold, predicted) == pytest.approx(share)


def test_ece_by_hand_over_predicted_intents_only():
    samples = [
        turn(["results"], ["results"], probabilities={"results": 0.75, "emergency": 0.4}),
        turn(["results"], ["appt_new"], probabilities={"appt_new": 0.75}),
        turn([], []),
    ]
    assert scorers.ece(samples) == pytest.approx(0.25)
    assert scorers.calibration_of(samples).ece == pytest.approx(0.25)
    assert sum(b.count for b in scorers.calibration_of(samples).bins) == 2


def test_a_predicted_intent_without_probability_is_refused():
    with pytest.raises(ValueError, match="'t' predicts 'results' without"):
        scorers.ece([turn(["results"], ["results"], probabilities={})])


def test_undefined_metrics_are_nan():
    nothing = [turn([], [])]
    undefined = {name for name, shown in METRICS.items() if math.isnan(shown.metric(nothing))}
    assert undefined == set(METRICS) - {"exact_match", "out_of_scope_rejection"}
    assert math.isnan(scorers.out_of_scope_rejection([turn(["results"], ["results"])]))


def test_confusions_are_ranked_and_name_the_missing_side():
    samples = [
        turn(["results"], ["appt_new"]),
        turn(["results", "emergency"], ["appt_new", "emergency"]),
        turn(["results"], []),
        turn([], ["emergency"]),
        turn(["results"], ["results"]),
        turn([], []),
    ]
    assert scorers.confusions(samples) == [
        Confusion("results", "appt_new", 2),
        Confusion("none", "emergency", 1),
        Confusion("results", "none", 1),
    ]
    assert scorers.confusions(samples, limit=1) == [Confusion("results", "appt_new", 2)]


def test_data_counts():
    samples = [turn(["results"], gold_slots={"test": "bloods"}), turn(["results", "appt_new"]), turn()]
    assert list(scorers.data_counts(samples).values()) == [3, 1, 1, 1, 2, 1]


def test_every_reported_metric_says_what_it_means():
    assert all(shown.meaning.endswith(".") and "\n" not in shown.meaning for shown in METRICS.values())


@given(st.lists(turns(), min_size=1, max_size=12), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_metrics_are_bounded_and_know_no_order(samples, random):
    before = {name: shown.metric(samples) for name, shown in METRICS.items()}
    assert all(math.isnan(value) or -1e-12 <= value <= 1 + 1e-12 for value in before.values())
    confusions = scorers.confusions(samples)
    random.shuffle(samples)
    assert {name: shown.metric(samples) for name, shown in METRICS.items()} == pytest.approx(before, nan_ok=True)
    assert scorers.confusions(samples) == confusions


@given(st.lists(turns(), min_size=1, max_size=12))
@settings(deadline=None, max_examples=40)
def test_perfect_predictions_score_one(samples):
    perfect = [
        dataclasses.replace(
            s, predicted_intents=s.gold_intents, probabilities=dict.fromkeys(s.gold_intents, 1.0), predicted_slots=s.gold_slots
        )
        for s in samples
    ]
    for shown in METRICS.values():
        value = shown.metric(perfect)
        assert math.isnan(value) or value == pytest.approx(1 if shown.higher_is_better else 0)
    assert scorers.confusions(perfect) == []


@given(st.lists(turns(), min_size=1, max_size=12))
@settings(deadline=None, max_examples=40)
def test_relaxed_slots_are_never_worse_than_strict(samples):
    strict, relaxed = scorers.slot_f1(samples), scorers.slot_f1_relaxed(samples)
    assert (math.isnan(strict) and math.isnan(relaxed)) or relaxed >= strict - 1e-12
