"""Predictions made up from a seed: as right as one likes, on samples that every system shares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bedside.evaluation.scorers import Understood

INTENTS = ("appt_new", "appt_change", "appt_cancel", "script_repeat", "results", "billing_fee", "emergency", "symptom_triage")
MakePredictions = Callable[..., list[Understood]]


def _gold(rng: np.random.Generator) -> frozenset[str]:
    return frozenset(rng.choice(INTENTS, size=rng.choice([0, 1, 2], p=[0.1, 0.7, 0.2]), replace=False).tolist())


def _prediction(id: str, gold: frozenset[str], skill: float, rng: np.random.Generator) -> Understood:
    kept = frozenset(i for i in sorted(gold) if rng.random() < skill)
    predicted = kept if rng.random() < skill else kept | {str(rng.choice(INTENTS))}
    gold_slots = {"practitioner": "Dr Nguyen", "date": "this arvo"} if gold else {}
    return Understood(
        id=id,
        gold_intents=gold,
        predicted_intents=predicted,
        probabilities={i: float(rng.beta(8, 1.5)) for i in sorted(predicted)},
        gold_slots=gold_slots,
        predicted_slots={slot: value if rng.random() < skill else "tomorrow" for slot, value in gold_slots.items()},
        entropy=float(rng.gamma(1 if predicted == gold else 4, 0.3)),
        seconds=float(rng.gamma(9, 0.03)),
    )


@pytest.fixture(scope="session")
def predictions() -> MakePredictions:
    """`predictions(count, skill)`: a system's answers; the samples depend on the count alone."""

    def make(count: int, skill: float) -> list[Understood]:
        samples, system = np.random.default_rng(1), np.random.default_rng(round(skill * 1000))
        return [_prediction(f"turn-{i:03}", _gold(samples), skill, system) for i in range(count)]

    return make
