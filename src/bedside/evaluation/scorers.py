"""Scores of how well callers' turns were understood.

A metric here takes a sequence of `Understood` and returns a float, `nan` where it is undefined: no multi-intent sample, no slot.
`METRICS` lists those that a report shows.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bedside.evaluation.statistics import (
    BINS,
    Calibration,
    Floats,
    SumMetric,
    Sums,
    bin_counts,
    calibration,
    expected_calibration_error,
    ratio,
)

NO_INTENT = "none"
"""The name that a confusion gives to the absence of any intent."""


@dataclass(frozen=True)
class Understood:
    """What a system made of one caller's turn, beside what the turn means.

    Attributes:
        id: of the sample, equal across systems.
        gold_intents: what the caller wants; empty when it is nothing that a clinic does (out of scope).
        predicted_intents: what the system decided; empty when it rejected the turn.
        probabilities: of each predicted intent, 0 to 1; of other intents too where the system gives them.
        gold_slots: slot to the caller's own words.
        predicted_slots: slot to the system's words.
        entropy: of the system's decision, in nats.
        seconds: from turn to answer.
    """

    id: str
    gold_intents: frozenset[str]
    predicted_intents: frozenset[str]
    probabilities: dict[str, float]
    gold_slots: dict[str, str]
    predicted_slots: dict[str, str]
    entropy: float
    seconds: float

    @property
    def right(self) -> bool:
        """Whether exactly the gold intents were predicted."""
        return self.gold_intents == self.predicted_intents


def _f1(totals: Floats) -> Floats:
    """F1 from (..., 3) of true positives, false positives and false negatives."""
    hits = 2 * totals[..., 0]
    return ratio(hits, hits + totals[..., 1] + totals[..., 2])


def _share(rows: Iterable[tuple[bool, bool]]) -> Sums:
    """The share of the rows that count (second) of which something holds (first)."""
    counts = np.array([(holds and applies, applies) for holds, applies in rows], dtype=np.float64).reshape(-1, 2)
    return Sums(counts, lambda totals: ratio(totals[..., 0], totals[..., 1]))


@SumMetric
def micro_f1(samples: Sequence[Understood]) -> Sums:
    """F1 of intents, with the decisions of all intents pooled."""
    rows = [
        (len(s.gold_intents & s.predicted_intents), len(s.predicted_intents - s.gold_intents), len(s.gold_intents - s.predicted_intents))
        for s in samples
    ]
    return Sums(np.array(rows, dtype=np.float64).reshape(-1, 3), _f1)


@SumMetric
def macro_f1(samples: Sequence[Understood]) -> Sums:
    """Mean of the F1 of each intent that occurs in gold: rare intents weigh as much as common ones."""
    intents = sorted(frozenset[str]().union(*(s.gold_intents for s in samples)))
    return Sums(_intent_counts(samples, intents).reshape(len(samples), -1), lambda totals: _mean_f1(totals, len(intents)))


def _intent_counts(samples: Sequence[Understood], intents: Sequence[str]) -> Floats:
    """(samples, intents, 3) of true positives, false positives and false negatives."""
    gold, predicted = (
        np.array([[intent in chosen for intent in intents] for chosen in sets], dtype=bool).reshape(len(samples), len(intents))
        for sets in ([s.gold_intents for s in samples], [s.predicted_intents for s in samples])
    )
    return np.stack([gold & predicted, predicted & ~gold, gold & ~predicted], axis=-1).astype(np.float64)


def _mean_f1(totals: Floats, intents: int) -> Floats:
    """Mean F1 over the intents with gold support, from (..., intents * 3)."""
    counts = totals.reshape(*totals.shape[:-1], intents, 3)
    supported = counts[..., 0] + counts[..., 2] > 0
    return ratio(np.where(supported, _f1(counts), 0.0).sum(axis=-1), supported.sum(axis=-1))


@SumMetric
def exact_match(samples: Sequence[Understood]) -> Sums:
    """Share of all turns whose intents are exactly the gold ones, those with no intent included."""
    return _share((s.right, True) for s in samples)


@SumMetric
def exact_match_single(samples: Sequence[Understood]) -> Sums:
    """Share of the turns with one gold intent whose intents are exactly the gold ones."""
    return _share((s.right, len(s.gold_intents) == 1) for s in samples)


@SumMetric
def exact_match_multi(samples: Sequence[Understood]) -> Sums:
    """Share of the turns with two or more gold intents whose intents are exactly the gold ones."""
    return _share((s.right, len(s.gold_intents) > 1) for s in samples)


@SumMetric
def out_of_scope_rejection(samples: Sequence[Understood]) -> Sums:
    """Share of the turns with no gold intent for which the system predicted none."""
    return _share((not s.predicted_intents, not s.gold_intents) for s in samples)


@SumMetric
def false_rejection(samples: Sequence[Understood]) -> Sums:
    """Share of the turns with a gold intent for which the system predicted none."""
    return _share((not s.predicted_intents, bool(s.gold_intents)) for s in samples)


@SumMetric
def slot_f1(samples: Sequence[Understood]) -> Sums:
    """F1 of slots; a slot is right when its name is gold and its value equals gold's but for case, punctuation and spaces."""
    return _slot_sums(samples, lambda gold, predicted: float(normalise(gold) == normalise(predicted)))


@SumMetric
def slot_f1_relaxed(samples: Sequence[Understood]) -> Sums:
    """F1 of slots; a slot with a gold name earns the token F1 of its words and gold's, as in SQuAD (Rajpurkar et al. 2016)."""
    return _slot_sums(samples, token_overlap)


def _slot_sums(samples: Sequence[Understood], credit: Callable[[str, str], float]) -> Sums:
    """F1 where each slot named in both gold and prediction earns `credit(gold, predicted)`, 0 to 1."""
    rows = []
    for s in samples:
        hits = sum(credit(value, s.predicted_slots[slot]) for slot, value in s.gold_slots.items() if slot in s.predicted_slots)
        rows.append((hits, len(s.predicted_slots) - hits, len(s.gold_slots) - hits))
    return Sums(np.array(rows, dtype=np.float64).reshape(-1, 3), _f1)


def normalise(value: str) -> str:
    """A slot's value in lower case, without apostrophes, other punctuation as spaces, and single spaces between words."""
    folded = re.sub(r"['\u2019`]", "", unicodedata.normalize("NFKC", value).casefold())
    return " ".join(re.sub(r"[^\w]|_", " ", folded).split())


def token_overlap(gold: str, predicted: str) -> float:
    """F1 of the words that two values share, 0 to 1; 1 when neither has a word."""
    ours, theirs = Counter(normalise(gold).split()), Counter(normalise(predicted).split())
    if not ours and not theirs:
        return 1.0
    return 2 * (ours & theirs).total() / (ours.total() + theirs.total())


@SumMetric
def ece(samples: Sequence[Understood]) -> Sums:
    """How far the predicted intents' probabilities are from how often they are right (Guo et al. 2017, 10 bins)."""
    counts = np.array([bin_counts(*_decisions([s])) for s in samples]).reshape(-1, BINS * 3)
    return Sums(counts, lambda totals: expected_calibration_error(totals.reshape(*totals.shape[:-1], BINS, 3)))


def _decisions(samples: Sequence[Understood]) -> tuple[list[float], list[bool]]:
    """Probability and outcome of every predicted intent.

    Only what was predicted counts: intents that a system never considered would otherwise fill the lowest bin and hide the rest.
    """
    decided = [(s, intent) for s in samples for intent in sorted(s.predicted_intents)]
    for s, intent in decided:
        if intent not in s.probabilities:
            raise ValueError(f"sample {s.id!r} predicts {intent!r} without a probability")
    return [s.probabilities[intent] for s, intent in decided], [intent in s.gold_intents for s, intent in decided]


def calibration_of(samples: Sequence[Understood]) -> Calibration:
    """Calibration of the predicted intents' probabilities, for a reliability diagram.

    Raises:
        ValueError: a predicted intent has no probability, or one outside 0 to 1.
    """
    return calibration(*_decisions(samples))


@dataclass(frozen=True)
class IntentScore:
    """How one intent was recognised.

    Attributes:
        precision: of the times it was predicted, the share that was right; `nan` when it never was.
        recall: of the times it was gold, the share that was predicted; `nan` when it never was.
        f1: harmonic mean of the two; 0 without a hit.
        support: how many samples have it in gold.
    """

    precision: float
    recall: float
    f1: float
    support: int


def per_intent(samples: Sequence[Understood]) -> dict[str, IntentScore]:
    """Precision, recall, F1 and support of every intent that occurs in gold or prediction, by name."""
    intents = sorted(frozenset[str]().union(*(s.gold_intents | s.predicted_intents for s in samples)))
    hits, wrong, missed = np.moveaxis(_intent_counts(samples, intents).sum(axis=0), -1, 0)
    f1 = _f1(np.stack([hits, wrong, missed], axis=-1))
    columns = zip(intents, ratio(hits, hits + wrong), ratio(hits, hits + missed), f1, hits + missed, strict=True)
    return {intent: IntentScore(float(p), float(r), float(f), int(support)) for intent, p, r, f, support in columns}


@dataclass(frozen=True)
class Confusion:
    """One way of being wrong.

    Attributes:
        gold: the intent that was missed, or `NO_INTENT`.
        predicted: the intent that was predicted wrongly in the same turn, or `NO_INTENT`.
        count: turns in which it happened.
    """

    gold: str
    predicted: str
    count: int


def confusions(samples: Sequence[Understood], limit: int = 20) -> list[Confusion]:
    """The most frequent pairs of a missed and a wrongly predicted intent in one turn, the most frequent first.

    Args:
        samples: predictions.
        limit: how many pairs at most.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for s in samples:
        if not s.right:
            missed = s.gold_intents - s.predicted_intents or {NO_INTENT}
            pairs.update(itertools.product(missed, s.predicted_intents - s.gold_intents or {NO_INTENT}))
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(gold, predicted, count) for (gold, predicted), count in ranked[:limit]]


def data_counts(samples: Sequence[Understood]) -> dict[str, int]:
    """How many samples of each kind there are, for the head of a report."""
    sizes = [len(s.gold_intents) for s in samples]
    return {
        "samples": len(samples),
        "with one intent": sizes.count(1),
        "with several intents": sum(size > 1 for size in sizes),
        "out of scope": sizes.count(0),
        "different intents": len(frozenset[str]().union(*(s.gold_intents for s in samples))),
        "slots": sum(len(s.gold_slots) for s in samples),
    }


@dataclass(frozen=True)
class ReportedMetric:
    """A metric as a report shows it.

    Attributes:
        label: its name for people.
        metric: the metric itself; its docstring explains it.
        higher_is_better: which way is good.
    """

    label: str
    metric: SumMetric[Understood]
    higher_is_better: bool = True

    @property
    def meaning(self) -> str:
        """What it measures, in one sentence."""
        return (self.metric.__doc__ or "").strip()


METRICS: dict[str, ReportedMetric] = {
    "micro_f1": ReportedMetric("Intent micro F1", micro_f1),
    "macro_f1": ReportedMetric("Intent macro F1", macro_f1),
    "exact_match": ReportedMetric("Exact match, all turns", exact_match),
    "exact_match_single": ReportedMetric("Exact match, one intent", exact_match_single),
    "exact_match_multi": ReportedMetric("Exact match, several intents", exact_match_multi),
    "slot_f1": ReportedMetric("Slot F1", slot_f1),
    "slot_f1_relaxed": ReportedMetric("Slot F1, word overlap", slot_f1_relaxed),
    "out_of_scope_rejection": ReportedMetric("Out-of-scope rejection", out_of_scope_rejection),
    "false_rejection": ReportedMetric("False rejection", false_rejection, higher_is_better=False),
    "ece": ReportedMetric("Expected calibration error", ece, higher_is_better=False),
}
"""The metrics of a report, by name, in the order shown."""
