"""The plain alternative: sentence embeddings of MiniLM with logistic regression, the classifier that a user would otherwise build.

It is given its best fair chance, so that a language model which does no better than it is seen to do no better.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold  # type: ignore[import-untyped]
from sklearn.neural_network import MLPClassifier  # type: ignore[import-untyped]

from bedside.engine.embedding import SentenceEmbedder
from bedside.evaluation.scorers import NO_INTENT

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

THRESHOLD = 0.5
GRID = (3.0, 30.0, 300.0)
FOLDS = 3
CHOOSE_ON = 2400
"""Texts that the regularisation is chosen on; the classifier itself is fitted on all."""


class MiniLMBaseline:
    """Multi-label intent classifier: MiniLM embeddings and one logistic regression for each intent and for "no intent".

    Args:
        embedder: shared between baselines, or made here, in bfloat16 (its vectors lie within a cosine of 0.9998 of those in float32).

    Attributes:
        c: the inverse regularisation that `fit` chose.
    """

    def __init__(self, embedder: SentenceEmbedder | None = None) -> None:
        self._embedder = embedder or SentenceEmbedder(torch.bfloat16)
        self._labels: list[str] = []
        self.c = GRID[0]

    def fit(self, texts: Sequence[str], intents: Sequence[Collection[str]], groups: Sequence[str]) -> MiniLMBaseline:
        """Train on labelled turns; the regularisation is the one with the best micro F1 in grouped cross-validation.

        Args:
            texts: the callers' words.
            intents: of each text; an empty one teaches the class "no intent".
            groups: the family of each text; texts of one family stay on the same side of every fold.

        Raises:
            ValueError: the lengths differ, or there are fewer than two families or classes.
        """
        if not len(texts) == len(intents) == len(groups):
            raise ValueError(f"{len(texts)} texts, {len(intents)} rows of intents and {len(groups)} groups")
        rows = [set(row) or {NO_INTENT} for row in intents]
        self._labels = sorted(set().union(*rows))
        if len(self._labels) < 2 or len(set(groups)) < 2:
            raise ValueError("nothing to learn: fewer than two classes or two families")
        targets = np.array([[label in row for label in self._labels] for row in rows])
        vectors = self._embedder.embed(texts)
        some = np.random.default_rng(0).permutation(len(texts))[:CHOOSE_ON]
        self.c = self._best_c(vectors[some], targets[some], [groups[i] for i in some])
        self._classifier = _classifier(self.c, vectors, targets)
        return self

    def predict(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """The intents of each text with their probabilities; empty where the text has no intent.

        An intent is chosen at a probability of 0.5 or more. Where none is, the best is chosen, unless "no intent" is likelier.
        """
        if not texts:
            return []
        probabilities = self._classifier.predict_proba(self._embedder.embed(texts))
        chosen = self._decide(probabilities)
        return [{self._labels[i]: float(row[i]) for i in np.flatnonzero(flags)} for row, flags in zip(probabilities, chosen, strict=True)]

    def _best_c(self, vectors: Floats, targets: Flags, groups: Sequence[str]) -> float:
        """The strongest regularisation among those of the best micro F1."""
        scores = dict.fromkeys(GRID, 0.0)
        for train, held_out in _folds(targets, groups):
            for c in GRID:
                probabilities = _classifier(c, vectors[train], targets[train]).predict_proba(vectors[held_out])
                scores[c] += self._micro_f1(targets[held_out], self._decide(probabilities))
        return max(GRID, key=lambda c: scores[c])

    def _decide(self, probabilities: Floats) -> Flags:
        """Which intents are chosen: (texts, labels) to the same shape, never true for "no intent"."""
        chosen = self._without_none(probabilities >= THRESHOLD)
        best = probabilities.argmax(axis=1)
        undecided = np.flatnonzero(~chosen.any(axis=1))
        chosen[undecided, best[undecided]] = True
        return self._without_none(chosen)

    def _without_none(self, flags: Flags) -> Flags:
        kept: Flags = flags & (np.array(self._labels) != NO_INTENT)
        return kept

    def _micro_f1(self, gold: Flags, chosen: Flags) -> float:
        gold = self._without_none(gold)
        return float(2 * (gold & chosen).sum() / max(1, gold.sum() + chosen.sum()))


def _folds(targets: Flags, groups: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    folds = GroupKFold(min(FOLDS, len(set(groups))))
    yield from folds.split(np.zeros(len(targets)), groups=groups)


def _classifier(c: float, vectors: Floats, targets: Flags) -> MLPClassifier:
    """Logistic regression of every intent at once: a network without hidden layers is the same function, and has the same optimum.

    Fitting the intents together shares each product with the vectors, several times as fast as one after the other; in float64, because
    L-BFGS stops far from the optimum where single precision cannot tell two losses apart.
    """
    return MLPClassifier((), solver="lbfgs", alpha=1 / c, max_iter=2000, random_state=0).fit(
        vectors.astype(np.float64), targets.astype(np.int8)
    )
