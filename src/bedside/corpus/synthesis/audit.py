"""An audit of synthetic caller turns: are they asked for as often as real ones, said in different words, true, and not all ordinary?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from math import exp, log, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict

from bedside.corpus.synthesis.endpoint import facts as fact_sheet
from bedside.corpus.synthesis.grammar import Turn
from bedside.errors import SourceError
from bedside.knowledge.intents import Catalogue
from bedside.knowledge.medicare import fees, items
from bedside.safety.numbers import numbers

if TYPE_CHECKING:
    from bedside.engine.embedding import SentenceEmbedder

_SAMPLE = 300
_ORDERS = (1, 2, 3, 4)
_UNSEEN = 0.1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class IntentShare(_Part):
    """How often an intent is asked for."""

    intent: str
    """Its id."""
    share: float
    """Of all intents of all turns, 0 to 1."""
    prior: float
    """What the catalogue expects, scaled so that all priors together are 1."""
    ratio: float
    """Share over prior; 1 is as expected."""


class Diversity(_Part):
    """How differently the turns are worded."""

    distinct: dict[int, float]
    """n → share of word n-grams that are different from each other (Li et al. 2016); falls with the number of turns."""
    self_bleu: float
    """Mean BLEU-4 of a sample's turns against its other turns (Zhu et al. 2018), 0 to 1; lower is more diverse."""
    mean_cosine: float | None
    """Mean cosine of the sample's pairs of sentence embeddings; None where no embedder was given."""


class FactFault(_Part):
    """A turn that says something which the knowledge contradicts."""

    turn: int
    """Its number, from 0."""
    problem: str
    """What is wrong."""


class Audit(_Part):
    """The report."""

    turns: int
    """Turns looked at."""
    intents: tuple[IntentShare, ...]
    """Most frequent first."""
    chi_square: float
    """Pearson's statistic of the intents' counts against the priors."""
    degrees: int
    """Its degrees of freedom."""
    effect: float
    """Cohen's w, the root of chi-square over the count; 0.1 is small, 0.5 large. Unlike a p-value it does not grow with the turns."""
    diversity: Diversity
    """Wording."""
    faults: tuple[FactFault, ...]
    """Turns against the knowledge."""
    rare: dict[str, int]
    """Rare case → turns that speak of it."""
    missing: tuple[str, ...]
    """Rare cases that no turn speaks of."""


def audit(turns: Sequence[Turn], catalogue: Catalogue, *, day: date, embedder: SentenceEmbedder | None = None) -> Audit:
    """Audit synthetic turns.

    Args:
        catalogue: the intents and their priors.
        day: on which fees and item numbers have to hold.
        embedder: measures the spread of meanings.

    Raises:
        SourceError: there is no turn with an intent, or an intent is not in the catalogue.
    """
    counts = Counter(name for turn in turns for name in turn.intents)
    unknown = sorted(set(counts) - {kind.id for kind in catalogue.intents})
    if unknown or not counts:
        problem = f"the turns have unknown intents {', '.join(unknown)}" if unknown else f"none of the {len(turns)} turns has an intent"
        raise SourceError(problem, "Make the turns again with the catalogue of this version")
    shares, chi_square = _against_priors(counts, {kind.id: kind.prior for kind in catalogue.intents})
    rare = _rare([turn.text for turn in turns])
    return Audit(
        turns=len(turns),
        intents=shares,
        chi_square=chi_square,
        degrees=len(shares) - 1,
        effect=sqrt(chi_square / counts.total()),
        diversity=_diversity([turn.text for turn in turns], embedder),
        faults=tuple(FactFault(turn=number, problem=problem) for number, turn in enumerate(turns) for problem in _faults(turn.text, day)),
        rare=rare,
        missing=tuple(name for name, count in rare.items() if not count),
    )


def draw(report: Audit, path: Path) -> None:
    """The intents' shares beside their priors, as an SVG figure without a date."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 0.2 * len(report.intents) + 1), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(report.intents))
    axes.barh(places, [100 * row.share for row in report.intents], height=0.6, label="synthetic turns")
    axes.plot([100 * row.prior for row in report.intents], places, "k|", markersize=8, label="prior")
    axes.set_yticks(places, [row.intent for row in report.intents], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("share of intents, %")
    axes.legend(frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})


def _against_priors(counts: Counter[str], priors: Mapping[str, float]) -> tuple[tuple[IntentShare, ...], float]:
    total, whole = counts.total(), sum(priors.values())
    expected = {name: prior / whole for name, prior in priors.items()}
    chi_square = sum((counts[name] - total * share) ** 2 / (total * share) for name, share in expected.items())
    rows = [
        IntentShare(intent=name, share=counts[name] / total, prior=share, ratio=counts[name] / total / share)
        for name, share in expected.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.share, row.intent))), chi_square


def _diversity(texts: Sequence[str], embedder: SentenceEmbedder | None) -> Diversity:
    words = [text.split() for text in texts]
    distinct = {}
    for order in _ORDERS[:3]:
        grams = [gram for turn in words for gram in _grams(turn, order).elements()]
        distinct[order] = len(set(grams)) / max(1, len(grams))
    sample = [texts[i] for i in sorted(np.random.default_rng(0).permutation(len(texts))[:_SAMPLE])]
    return Diversity(distinct=distinct, self_bleu=self_bleu([text.split() for text in sample]), mean_cosine=_mean_cosine(sample, embedder))


def _mean_cosine(sample: Sequence[str], embedder: SentenceEmbedder | None) -> float | None:
    if embedder is None or len(sample) < 2:
        return None
    total = embedder.embed(sample).sum(axis=0)
    # The square of the sum holds every pair twice, and each vector of length 1 with itself.
    return float((total @ total - len(sample)) / (len(sample) * (len(sample) - 1)))


def self_bleu(turns: Sequence[Sequence[str]]) -> float:
    """Mean BLEU-4 of each turn against all others, with 0.1 for an n-gram order without a match (Chen and Cherry 2014, method 1).

    Args:
        turns: words of each turn; fewer than two give 0.
    """
    if len(turns) < 2:
        return 0.0
    # The most that a gram is said in one turn, and in one other turn: what a turn's own count is clipped by.
    most: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    counted = [[_grams(turn, order) for order in _ORDERS] for turn in turns]
    for number, orders in enumerate(counted):
        for gram, count in (pair for grams in orders for pair in grams.items()):
            most[gram] = sorted([*most.get(gram, []), (count, number)], reverse=True)[:2]
    lengths = [len(turn) for turn in turns]
    return float(np.mean([_bleu(number, orders, most, lengths) for number, orders in enumerate(counted)]))


def _bleu(
    number: int, orders: list[Counter[tuple[str, ...]]], most: Mapping[tuple[str, ...], list[tuple[int, int]]], lengths: list[int]
) -> float:
    logs = []
    for grams in orders:
        if grams:
            clipped = sum(min(count, next((c for c, owner in most[gram] if owner != number), 0)) for gram, count in grams.items())
            logs.append(log((clipped or _UNSEEN) / grams.total()))
    others = lengths[:number] + lengths[number + 1 :]
    nearest = min(others, key=lambda length: (abs(length - lengths[number]), length))
    return exp(sum(logs) / len(logs) + min(0.0, 1 - nearest / lengths[number])) if logs else 0.0


def _grams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[place:] for place in range(order)), strict=False))


def _faults(text: str, day: date) -> list[str]:
    """What a turn says against the fact sheet of synthesis and the Medicare tables."""
    said = fact_sheet().violation(text)
    found = [said] if said else []
    known, payable = _tables(day)
    told = list(numbers(text.lower()))
    named = [number.digits for number in told if number.item]
    found += [f"item {digits} is not in the tables on {day}" for digits in named if digits not in known]
    allowed = {fee for digits in named for fee in payable.get(digits, ())}
    if allowed:
        amounts = [number.digits for number in told if number.money]
        found += [f"${amount} is no fee or benefit of item {', '.join(named)} on {day}" for amount in amounts if amount not in allowed]
    return found


@cache
def _tables(day: date) -> tuple[frozenset[str], dict[str, set[str]]]:
    """Item numbers of a day, and for each the amounts that may be named with it."""
    payable: dict[str, set[str]] = {}
    for fee in fees():
        if fee.holds_on(day):
            for item in fee.items:
                payable.setdefault(item, set()).update(str(amount).removesuffix(".00") for amount in (fee.fee, fee.benefit))
    return frozenset(number for number, item in items().items() if item.holds_on(day)), payable


def _rare(texts: Sequence[str]) -> dict[str, int]:
    cases = yaml.safe_load(files("bedside.corpus.synthesis").joinpath("rare_cases.yaml").read_text(encoding="utf-8"))
    patterns = {name: re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)") for name, words in cases.items()}
    folded = [text.lower() for text in texts]
    return {name: sum(bool(pattern.search(text)) for text in folded) for name, pattern in patterns.items()}
